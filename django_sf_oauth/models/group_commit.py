"""One thread a process that writes for all: what comes while it commits goes into its next commit.

A batch so takes one database connection, and a commit for many of its exchanges. An update that comes alone is
made at once; by its caller, if it is urgent, since to wake the thread takes as long as a commit. Where several
came together, it waits a moment for as many: of a full batch, who has stored goes on to claim the next, and
a statement for ten rows takes little more than one for five.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.db import connections

from .update_row import RowUpdate, Shape

__all__ = ["GroupCommit"]

logger = logging.getLogger("django_sf_oauth.grants")

LARGEST = 200  # updates of one commit: the rows that it locks are given back soon
LINGER = 0.002  # seconds that the connection is kept for whoever is about to ask
KEEP = 0.06  # seconds that it is kept while there is something to do twenty times a second: to open one takes half
RETURN = 0.0005  # seconds in which one who was served comes back, if at all: threads of one process take turns
LONGEST_RETURN = 0.005  # seconds that all of them are waited for
PATIENCE = 10.0  # seconds; for a server that is gone without a word, TCP waits a quarter of an hour

Write = Callable[[Sequence[RowUpdate]], Collection[int]]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Waiting:
    update: RowUpdate
    shape: Shape
    done: Future[bool] = field(default_factory=Future)


class GroupCommit:
    """Makes updates, on one thread or a caller's, together with those that others ask for in the same moment."""

    def __init__(self, write: Write, patience: float = PATIENCE) -> None:
        """Makes one; a process needs no more.

        Args:
            write: makes updates of one shape in one commit, and tells which of the rows it could update.
            patience: seconds after which an update is left to its caller.
        """
        self._write, self._patience = write, patience
        self.start_over()
        with suppress(AttributeError):  # Windows does not fork
            os.register_at_fork(after_in_child=self.start_over)

    def start_over(self) -> None:
        """Forgets everything. A forked child needs a thread of its own, too."""
        self._came = threading.Condition()
        self._queue: list[_Waiting] = []
        self._wanted = 1  # how many have to be in the queue for the thread to be woken
        self._company = 0  # how many were there when the last group was taken
        self._runs = False
        self._is_led = False  # by a caller, who writes while the thread does not run
        self._ended_at = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sf-oauth-commit")

    def update(self, update: RowUpdate, *, enter: Callable[[], bool] | None = None) -> bool:
        """Whether the row was updated, and that is committed.

        `enter`: says whether the caller's own thread may write, which it does then if nobody else does or just
        did. It waits as long as the database lets it: what must not be lost is left to the thread.
        False says nothing of why: somebody has the row locked or has changed it, one of the scopes is held, or
        the database did not answer. If it did not answer in time, the update may still be made: its fence keeps
        that from harming what has been written since.
        """
        waiting = _Waiting(update=update, shape=update.shape)
        if enter is not None and self._take_the_lead(enter):
            return self._lead(waiting)
        try:
            self._enqueue(waiting)
        except RuntimeError:
            return False  # the interpreter is ending and starts no thread any more
        try:
            return waiting.done.result(self._patience)
        except TimeoutError:
            waiting.done.cancel()  # as far as its commit has not begun
            return False

    def _take_the_lead(self, enter: Callable[[], bool]) -> bool:
        with self._came:
            if self._runs or self._is_led or time.monotonic() - self._ended_at < KEEP:
                return False
            self._is_led = enter()
            return self._is_led

    def _lead(self, waiting: _Waiting) -> bool:
        try:
            self._commit([waiting])
        finally:
            with self._came:
                self._is_led, self._ended_at = False, time.monotonic()
        return waiting.done.result()

    def _enqueue(self, waiting: _Waiting) -> None:
        with self._came:
            if not self._runs:
                self._thread.submit(self._run)
                self._runs = True
            self._queue.append(waiting)
            if len(self._queue) >= self._wanted:
                self._came.notify()

    def _run(self) -> None:
        keep = KEEP if time.monotonic() - self._ended_at < KEEP else LINGER
        while group := self._next_group(keep):
            if wanted := [waiting for waiting in group if waiting.done.set_running_or_notify_cancel()]:
                self._commit(wanted)
            if len(group) > 1:
                keep = KEEP
        _close()

    def _next_group(self, keep: float) -> list[_Waiting]:
        """The first that waits and its like, of a row each; none if nobody comes in `keep` seconds."""
        with self._came:
            self._wait_for(1, keep)
            if self._queue:
                self._wait_for(self._company, min(self._company * RETURN, LONGEST_RETURN))
            self._company = len(self._queue)
            if not self._queue:
                self._runs = False
                self._ended_at = time.monotonic()
                return []
            first: dict[Any, _Waiting] = {}
            for waiting in self._queue:
                first.setdefault(waiting.update.pk, waiting)
            alike = (waiting for waiting in first.values() if waiting.shape == self._queue[0].shape)
            group = dict.fromkeys(islice(alike, LARGEST))
            self._queue = [waiting for waiting in self._queue if waiting not in group]
            return list(group)

    def _wait_for(self, number: int, seconds: float) -> None:
        self._wanted = number
        self._came.wait_for(lambda: len(self._queue) >= number, seconds)

    def _commit(self, alike: Sequence[_Waiting]) -> None:
        updated: Collection[int] = ()
        try:
            updated = self._write([waiting.update for waiting in alike])
        except Exception as error:
            # Any at all: each of them tries again by itself, and says what is wrong.
            logger.warning("event=group_commit_failed rows=%d error=%s", len(alike), type(error).__name__)
            _close()
        for waiting in alike:
            waiting.done.set_result(waiting.update.pk in updated)


def _close() -> None:
    with suppress(Exception):  # it may be broken already; whatever a pool raises, others wait for this thread
        connections.close_all()  # those of this thread
