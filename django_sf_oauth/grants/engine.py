"""One refresh per (connection, generation) and process, on threads of our own.

A helper thread has its own database connection, so that neither ``ATOMIC_REQUESTS`` nor an exception in the caller
can undo what it stored; its caller may lose patience or be cancelled while the exchange goes on to its end.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from uuid import UUID

from .contract import Grant, GrantStore, Outcome
from .refresh import Claimed, Refresher

__all__ = ["Engine"]

THREADS = 128  # exchanges in flight per process; more wait their turn

Flight = tuple[int, int, bool, bool, UUID | None]
"""Primary key, generation, forced, ahead; and whose claim it spends, if it was made before."""


class Engine:
    """Hands refreshes to helper threads and lets everybody wait for the same one."""

    def __init__(self, store: GrantStore, refresher: Refresher) -> None:
        self._store = store
        self._refresh = refresher
        self._start_over()
        with suppress(AttributeError):  # Windows does not fork
            # A forked child has neither its parent's threads nor the answers that they wait for.
            os.register_at_fork(after_in_child=self._start_over)

    def _start_over(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Flight, Future[Outcome]] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="sf-oauth-refresh")

    def refresh(
        self,
        key: int,
        generation: int,
        *,
        forced: bool = False,
        ahead: bool = False,
        seen: Grant | None = None,
        patience: float,
    ) -> Outcome:
        """Refreshes, or joins the refresh that is under way.

        Args:
            key: primary key of the row.
            generation: the one that is to be replaced.
            forced, ahead, seen: see `Refresher`.
            patience: seconds after which the caller gives up waiting; the refresh itself goes on.
        """
        flight = self.submit(key, generation, forced=forced, ahead=ahead, seen=seen)
        if not wait([flight], patience).done:
            return Outcome(kind="unavailable", reason="patience", retry_after=patience)
        return flight.result()

    def submit(
        self, key: int, generation: int, *, forced: bool = False, ahead: bool = False, seen: Grant | None = None
    ) -> Future[Outcome]:
        """The refresh of this generation, started if it was not."""
        if self._store.inline():
            return self._run_inline(key, generation, forced, ahead)
        return self._start((key, generation, forced, ahead, None), seen=seen)

    def submit_all(self, seen: Sequence[Grant], *, forced: bool, ahead: bool) -> list[Future[Outcome]]:
        """The refreshes of what has been read, claimed together; no more of them than `THREADS` have room for."""
        if self._store.inline():
            return [self._run_inline(grant.key, grant.generation, forced, ahead) for grant in seen]
        flights = []
        for grant, claimed in zip(seen, self._refresh.claim_all(seen), strict=True):
            # A claim is spent by whoever made it, whatever else is under way for that generation.
            owner = claimed.claim.owner if claimed else None
            flights.append(self._start((grant.key, grant.generation, forced, ahead, owner), claimed=claimed))
        return flights

    def _start(
        self, flight: Flight, *, seen: Grant | None = None, claimed: Claimed | None = None
    ) -> Future[Outcome]:
        with self._lock:
            if flight not in self._flights:
                self._flights[flight] = self._threads.submit(self._fly, flight, seen, claimed)
            return self._flights[flight]

    def drain(self, timeout: float) -> bool:
        """Waits until no refresh is under way: an exchange that is killed may have rotated the token already.

        Args:
            timeout: seconds after which it gives up.

        Returns:
            Whether all have ended.
        """
        with self._lock:
            flights = list(self._flights.values())
        return not wait(flights, timeout).not_done

    def _run_inline(self, key: int, generation: int, forced: bool, ahead: bool) -> Future[Outcome]:
        done: Future[Outcome] = Future()
        try:
            done.set_result(self._refresh(key, generation, forced=forced, ahead=ahead))
        except Exception as error:
            done.set_exception(error)
        return done

    def _fly(self, flight: Flight, seen: Grant | None, claimed: Claimed | None) -> Outcome:
        key, generation, forced, ahead, _ = flight
        try:
            return self._refresh(key, generation, forced=forced, ahead=ahead, seen=seen, claimed=claimed)
        finally:
            with self._lock:
                del self._flights[flight]
            self._store.let_go()
