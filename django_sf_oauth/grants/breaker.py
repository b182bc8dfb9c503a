"""When a token host fails everybody, nobody asks it for a while."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

from django_sf_oauth.conf import Breaker
from django_sf_oauth.protocol.errors import Actor, Refusal
from django_sf_oauth.protocol.tokens import TokenAnswer

__all__ = ["FailuresInARow", "failures", "host_failed"]

ABOUT_ONE_GRANT = frozenset({"contention", "client_blocked", "foreign_org"})


def host_failed(answer: TokenAnswer | Refusal) -> bool:
    """Whether an answer speaks of trouble at the host, rather than of this grant or this site."""
    if isinstance(answer, TokenAnswer):
        return False
    return answer.actor is Actor.NOBODY and answer.reason not in ABOUT_ONE_GRANT


class FailuresInARow:
    """Counts, in this process and by host, the failures since the last answer that made sense."""

    def __init__(self) -> None:
        self.start_over()

    def start_over(self) -> None:
        """Forgets them all. A forked child needs a lock of its own, too."""
        self._lock = threading.Lock()
        self._runs: dict[str, tuple[int, float]] = {}

    def answered(self, host: str) -> None:
        with self._lock:
            self._runs.pop(host, None)

    def failed(self, host: str, limits: Breaker, now: float) -> bool:
        """Counts one more; `now` is in seconds.

        Returns:
            Whether the host should be held, upon which the count begins anew.
        """
        with self._lock:
            count, since = self._runs.get(host, (0, now))
            if now - since > limits.window:
                count, since = 0, now
            trips = count + 1 >= limits.count
            if trips:
                self._runs.pop(host, None)
            else:
                self._runs[host] = (count + 1, since)
        return trips


failures = FailuresInARow()
with suppress(AttributeError):  # Windows does not fork
    os.register_at_fork(after_in_child=failures.start_over)
