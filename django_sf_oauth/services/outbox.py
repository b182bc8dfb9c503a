"""Asking Salesforce to forget what waits for it: several at a time, no faster than allowed, and each once.

Threads ask Salesforce and nothing else; what they heard is written down by the caller's thread, so that all of it
takes one database connection.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.db import connections, models, router, transaction
from django.utils import timezone

from django_sf_oauth.conf import get_apps
from django_sf_oauth.grants.breaker import FailuresInARow, host_failed
from django_sf_oauth.models import PendingRevocation
from django_sf_oauth.models.disconnect import ask_to_revoke, settle
from django_sf_oauth.protocol.errors import Refusal
from django_sf_oauth.protocol.hosts import host_of

from .throttle import Throttle

__all__ = ["CLAIMED_FOR", "Outbox", "log_failure"]

logger = logging.getLogger("django_sf_oauth.revoking")

AT_ONCE = 16  # requests in flight
CLAIM = 100  # revocations claimed by one statement
SETTLE = 50  # confirmations written down at once, at most: so many are asked for again after a crash
SETTLE_EVERY = 1.0  # seconds
CLAIMED_FOR = timedelta(minutes=5)  # a revocation whose worker died is due again after that

Rows = models.QuerySet[PendingRevocation]
Flight = Future[Refusal | None]


@dataclass(kw_only=True, slots=True)
class Outbox:
    """One run through revocations that wait. `settled` is told how many more Salesforce has confirmed."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    settled: Callable[[int], None] = lambda number: None
    counts: Counter[str] = field(default_factory=Counter)
    _flights: dict[Flight, PendingRevocation] = field(default_factory=dict)
    _confirmed: list[PendingRevocation] = field(default_factory=list)
    _settled_at: float = 0.0
    _failures: FailuresInARow = field(default_factory=FailuresInARow)
    _down: set[str] = field(default_factory=set)

    def empty(self, rows: Rows, *, limit: float = float("inf"), deadline: float) -> Counter[str]:
        """Asks for each of `rows`.

        Args:
            limit: how many at most.
            deadline: by the clock; after it no further one is asked for.

        Returns:
            How many ended how: ``revoked``, ``pending`` (to be asked for again later) and ``failed``.
        """
        throttle = Throttle(self.monotonic, self.sleep)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sf-oauth-revoke") as threads:
            for pending in self._claimed(rows, limit, deadline):
                if (host := host_of(pending.login_url)) in self._down:
                    self.counts["pending"] += 1  # this run asks there no more
                    continue
                throttle.wait((pending.app, host), _rate_of(pending.app))
                self._flights[threads.submit(ask_to_revoke, pending)] = pending
                self._land(leave=AT_ONCE - 1)
            self._land(leave=0)
        self._settle()
        return self.counts

    def _claimed(self, rows: Rows, limit: float, deadline: float) -> Iterator[PendingRevocation]:
        """Oldest first. A claim pushes the due time ahead: of two runs at once, one gets each."""
        last = 0
        while limit > 0 and self.monotonic() < deadline:
            batch = _claim(rows, after=last, most=int(min(CLAIM, limit)))
            if not batch:
                return
            last = batch[-1].pk
            limit -= len(batch)
            for pending in batch:
                if self.monotonic() >= deadline:
                    return
                yield pending

    def _land(self, *, leave: int) -> None:
        """Waits until so few are in flight, and sees to those that have ended."""
        while len(self._flights) > leave:
            for flight in wait(self._flights, return_when=FIRST_COMPLETED).done:
                self._hear(self._flights.pop(flight), flight)
        if len(self._confirmed) >= SETTLE or self.monotonic() - self._settled_at > SETTLE_EVERY:
            self._settle()

    def _hear(self, pending: PendingRevocation, flight: Flight) -> None:
        if error := flight.exception():
            log_failure(pending.connection_uuid, error)
            self.counts["failed"] += 1
            return
        refusal = flight.result()
        self._weigh(pending, refusal)
        if refusal is None:
            self._confirmed.append(pending)
        else:
            pending.postpone()
            self.counts["pending"] += 1

    def _weigh(self, pending: PendingRevocation, refusal: Refusal | None) -> None:
        """Where Salesforce fails many in a row, the rest is left for a later run."""
        host, app = host_of(pending.login_url), get_apps().get(pending.app)
        if refusal is None or not host_failed(refusal):
            self._failures.answered(host)
        elif app and self._failures.failed(host, app.breaker, self.monotonic()):
            self._down.add(host)

    def _settle(self) -> None:
        self._settled_at = self.monotonic()
        if self._confirmed:
            settle(self._confirmed)
            self.counts["revoked"] += len(self._confirmed)
            self.settled(len(self._confirmed))
            self._confirmed = []


def _claim(rows: Rows, *, after: int, most: int) -> list[PendingRevocation]:
    """The next of them; nobody else gets these in the next minutes, unless they insist."""
    using = router.db_for_write(PendingRevocation)
    skip_locked = connections[using].features.has_select_for_update_skip_locked
    with transaction.atomic(using=using):
        free = rows.using(using).select_for_update(skip_locked=skip_locked)
        batch = list(free.filter(pk__gt=after).order_by("pk")[:most])
        claimed = PendingRevocation.objects.using(using).filter(pk__in=[one.pk for one in batch])
        claimed.update(next_attempt_at=timezone.now() + CLAIMED_FOR)
    return batch


def _rate_of(alias: str) -> str | None:
    app = get_apps().get(alias)
    return app.revoke_rate if app else None


def log_failure(uuid: UUID, error: BaseException) -> None:
    # The type alone: a message may quote what was being written.
    logger.error("event=revoke_error connection=%s error=%s", uuid, type(error).__name__)
