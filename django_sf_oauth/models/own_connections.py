"""How many threads of a process have a database connection of their own at a time.

What can be done with others goes through one connection. The rest (looks, flags, rows that somebody has locked) is
done by each thread alone, and a hundred that fail at once must not take all the connections that a server has.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress

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
        self._mine = threading.local()

    def take(self) -> None:
        """Waits for a place, unless this thread has one."""
        if not getattr(self._mine, "taken", False):
            self._mine.taken = self._places.acquire(timeout=self._longest_wait)

    def give_back(self) -> None:
        """Called once the thread has closed its connection."""
        if getattr(self._mine, "taken", False):
            self._mine.taken = False
            self._places.release()
