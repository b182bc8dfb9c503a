"""One refresh per (connection, generation) and process, on threads of our own.

A helper thread has its own database connection, so that neither ``ATOMIC_REQUESTS`` nor an exception in the caller
can undo what it stored; its caller may lose patience or be cancelled while the exchange goes on to its end.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field

from .contract import Grant, GrantStore, Outcome

__all__ = ["Engine"]

THREADS = 168  # exchanges in flight per process; more wait their turn
# Seconds; longer than a refresh takes that waits for somebody else's lease first. One that is under way for longer
# hangs, as on a database that is gone without a word, and must not take all who come later with it. Two at once
# are safe: the lease lets one of them ask.
HANGS = 180.0

Refresh = Callable[..., Outcome]
See = Callable[[], Grant | None]
What = tuple[int, int, bool, bool]
"""Key, generation, and whether it is forced, or ahead of need."""


@dataclass(slots=True, eq=False)
class _Flight:
    outcome: Future[Outcome] = field(init=False)
    began: float | None = None
    """When a thread took it up, by the engine's clock."""


class Engine:
    """Hands refreshes to helper threads and lets everybody wait for the same one."""

    def __init__(
        self, store: GrantStore, refresh: Refresh, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._refresh = refresh
        self._monotonic = monotonic
        self._start_over()
        with suppress(AttributeError):  # Windows does not fork
            # A forked child has neither its parent's threads nor the answers that they wait for.
            os.register_at_fork(after_in_child=self._start_over)

    def _start_over(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[What, _Flight] = {}
        self._hanging: set[_Flight] = set()  # others have taken their places
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="sf-oauth-refresh")

    def refresh(
        self,
        key: int,
        generation: int,
        *,
        forced: bool = False,
        ahead: bool = False,
        see: See | None = None,
        patience: float,
    ) -> Outcome:
        """Refreshes, or joins the refresh that is under way.

        Args:
            key: primary key of the row.
            generation: the one that is to be replaced.
            forced, ahead: see `Refresher`.
            see: gives what the caller has read of the row; it is asked by whoever starts the refresh.
            patience: seconds after which the caller gives up waiting; the refresh itself goes on.
        """
        flight = self.submit(key, generation, forced=forced, ahead=ahead, see=see)
        with suppress(TimeoutError):
            return flight.result(patience)
        if flight.done():  # in that moment, or with such an error of its own
            return flight.result()
        return Outcome(kind="unavailable", reason="patience", retry_after=patience)

    def submit(
        self, key: int, generation: int, *, forced: bool = False, ahead: bool = False, see: See | None = None
    ) -> Future[Outcome]:
        """The refresh of this generation, started if it was not."""
        what = (key, generation, forced, ahead)
        if self._store.inline():
            return self._run_inline(*what)
        with self._lock:
            flight = self._flights.get(what)
            if flight is None or self._hangs(flight):
                later = _Flight()
                later.outcome = self._threads.submit(self._fly, later, what, see() if see else None)
                if flight is not None:
                    self._hanging.add(flight)
                flight = self._flights[what] = later
            return flight.outcome

    def _hangs(self, flight: _Flight) -> bool:
        return flight.began is not None and self._monotonic() - flight.began > HANGS

    def drain(self, timeout: float) -> bool:
        """Waits until no refresh is under way: an exchange that is killed may have rotated the token already.

        Args:
            timeout: seconds after which it gives up.

        Returns:
            Whether all have ended.
        """
        with self._lock:
            outcomes = [flight.outcome for flight in (*self._flights.values(), *self._hanging)]
        return not wait(outcomes, timeout).not_done

    def _run_inline(self, key: int, generation: int, forced: bool, ahead: bool) -> Future[Outcome]:
        done: Future[Outcome] = Future()
        try:
            done.set_result(self._refresh(key, generation, forced=forced, ahead=ahead))
        except Exception as error:
            done.set_exception(error)
        return done

    def _fly(self, flight: _Flight, what: What, seen: Grant | None) -> Outcome:
        flight.began = self._monotonic()
        key, generation, forced, ahead = what
        try:
            return self._refresh(key, generation, forced=forced, ahead=ahead, seen=seen)
        finally:
            self._land(flight, what)
            self._store.let_go()

    def _land(self, flight: _Flight, what: What) -> None:
        with self._lock:
            self._hanging.discard(flight)
            # It is not there if no thread could be started for it; one that hung has been replaced.
            if self._flights.get(what) is flight:
                del self._flights[what]
