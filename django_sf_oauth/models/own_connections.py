"""How many threads of a process have a database connection of their own at a time.

What can be done with others goes through one connection. The rest (looks, flags, rows that somebody has locked, a
claim that comes alone) is done by each thread alone, and a hundred that fail at once must not take all the
connections that a server has.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress

from django.db import connections

__all__ = ["MOST", "OwnConnections"]

MOST = 16
LONGEST_WAIT = 10.0  # seconds; those that hang must not keep anybody from storing what they hold


class OwnConnections:
    """Places, of which a thread takes one before it uses its own connection."""

    def __init__(self, most: int = MOST, longest_wait: float = LONGEST_WAIT) -> None:
        self._most = most
        self._longest_wait = longest_wait
        self.start_over()
        with suppress(AttributeError):  # Windows does not fork
            os.register_at_fork(after_in_child=self.start_over)

    def start_over(self) -> None:
        """Gives all places back. The threads that a forked child's parent had are not there."""
        self._places = threading.BoundedSemaphore(self._most)
        self._mine = _Mine()

    def take(self) -> None:
        """Waits for a place, unless this thread has one."""
        if not self._mine.has_place:
            self._mine.has_place = self._places.acquire(timeout=self._longest_wait)

    def take_if_free(self) -> bool:
        """Whether this thread has a place now, without waiting for one."""
        if not self._mine.has_place:
            self._mine.has_place = self._places.acquire(blocking=False)
        return self._mine.has_place

    @property
    def in_use(self) -> bool:
        """Whether this thread has a place, or any connection: what it calls may have opened others."""
        opened = (one.connection for one in connections.all(initialized_only=True))
        return self._mine.has_place or any(one is not None for one in opened)

    def close(self) -> None:
        """Closes all connections of this thread, and gives its place back."""
        with suppress(Exception):  # one may be broken already; whatever a pool raises, the place is for others
            connections.close_all()
        if self._mine.has_place:
            self._mine.has_place = False
            self._places.release()


class _Mine(threading.local):
    has_place = False
