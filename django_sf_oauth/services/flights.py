"""The refreshes of a batch that are under way, never more than so many at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from uuid import UUID

from django_sf_oauth.grants.contract import Outcome
from django_sf_oauth.models.readings import Watched

__all__ = ["Flights"]

logger = logging.getLogger("django_sf_oauth.schedule")


class Flights:
    """Counts how they end, as they end, and keeps none of them, only whose failed."""

    def __init__(self, most: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._room = threading.Semaphore(most)
        self._monotonic = monotonic
        self._begun = 0
        self._ended: list[str] = []  # appending is safe from any thread, counting is not
        self._failed: list[tuple[datetime | None, int]] = []

    def has_room(self, seconds: float) -> bool:
        """Takes a place for one more, waiting for it at most so long; never, once the time is over."""
        return seconds > 0 and self._room.acquire(timeout=seconds)

    def add(self, flight: Future[Outcome], row: Watched) -> None:
        """Fills the place that was taken."""
        self._begun += 1
        flight.add_done_callback(lambda flight: self._land(flight, row))

    def _land(self, flight: Future[Outcome], row: Watched) -> None:
        ending = _ending(flight, row.grant.uuid)
        if ending != "renewed":
            self._failed.append((row.claimed_until, row.grant.key))  # without its tokens
        self._ended.append(ending)
        self._room.release()

    def wait(self, seconds: float) -> None:
        """Returns when all have ended, or after so long."""
        deadline = self._monotonic() + seconds
        for _ in range(self._most):
            if not self._room.acquire(timeout=max(0.0, deadline - self._monotonic())):
                return

    @property
    def failed(self) -> Mapping[datetime, Sequence[int]]:
        """Primary keys of claimed connections that got no new tokens, by the end of their claim."""
        failed: dict[datetime, list[int]] = defaultdict(list)
        for claimed_until, key in self._failed[:]:
            if claimed_until is not None:
                failed[claimed_until].append(key)
        return failed

    @property
    def endings(self) -> Counter[str]:
        """How many ended how, and how many are ``under_way``."""
        ended = self._ended[:]
        return Counter(ended) + Counter(under_way=self._begun - len(ended))


def _ending(flight: Future[Outcome], uuid: UUID) -> str:
    error = flight.exception()
    if error is None:
        return flight.result().kind
    logger.error("event=refresh_error connection=%s error=%s", uuid, type(error).__name__)
    return "failed"
