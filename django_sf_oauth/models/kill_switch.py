"""Whether an operator has stopped the use of Salesforce: asked before each use, so answered from memory.

Every process looks at the holds anew after a few seconds, on a thread of its own: the caller's transaction may
repeat old reads.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from django.db import Error, connections, router
from django.db.models.signals import post_delete, post_migrate, post_save
from django.utils import timezone

from django_sf_oauth.exceptions import TemporarilyUnavailable

from .hold import Hold
from .test_case import open_test_case

__all__ = ["FELT_WITHIN", "KillSwitch", "kill_switch"]

logger = logging.getLogger("django_sf_oauth.holds")

FELT_WITHIN = 4.0  # seconds
LONGEST_LOOK = 1.0  # seconds that a use waits for it
RETRY_AFTER = 30.0  # seconds; an operator does not set it for less


class KillSwitch:
    """The scopes that are stopped, as this process knows them."""

    def __init__(self) -> None:
        self.start_over()

    def start_over(self) -> None:
        """Forgets everything. A forked child needs a thread of its own, too."""
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sf-oauth-holds")
        self._look: Future[None] | None = None
        self._scopes: frozenset[str] = frozenset()
        self._heard_in: list[object] = []
        self.look_again()

    def look_again(self, **kwargs: Any) -> None:
        """Lets the next use ask the database, however recently that was done."""
        self._known_until = 0.0
        self._known_in: object = None
        if kwargs and (test_case := open_test_case(_alias())):
            self._heard_in = [*self._still_open(), test_case]

    def check(self, connection: Any) -> None:
        """Raises TemporarilyUnavailable (code ``stopped``) where the use of a connection is stopped."""
        if self.is_stopped(app=connection.app, org=connection.organization_id):
            raise TemporarilyUnavailable(
                "An operator has stopped the use of Salesforce.",
                code="stopped",
                user_message="This site has stopped its use of Salesforce for now.",
                retry_after=RETRY_AFTER,
                connection_id=connection.uuid,
            )

    def is_stopped(self, *, app: str, org: str = "") -> bool:
        """Whether an operator has stopped all, this app, or this organization (18 characters)."""
        if not self.is_known and self._lock.acquire(timeout=LONGEST_LOOK):
            try:
                self._learn()
            finally:
                self._lock.release()
        return bool(self._scopes) and not self._scopes.isdisjoint(("all", f"app:{app}", f"org:{org}"))

    @property
    def is_known(self) -> bool:
        """Whether `check` answers without a look at the database."""
        return time.monotonic() < self._known_until and self._known_in is open_test_case(_alias())

    def _learn(self) -> None:
        if self.is_known:
            return  # another thread has just asked
        test_case = open_test_case(_alias())
        try:
            if test_case:
                self._scopes = self._look_in_test()
            else:
                self._look_apart()
        except (Error, TimeoutError) as error:
            # Whoever would throw the switch needs the database too: what was known last holds on.
            logger.warning("event=holds_unknown error=%s", type(error).__name__)
        self._known_in = test_case
        self._known_until = time.monotonic() + FELT_WITHIN

    def _look_apart(self) -> None:
        """In bounded time: where connections are pooled, the caller may hold the one that this waits for."""
        if self._look is None or self._look.done():
            self._look = self._thread.submit(self._note_apart)
        self._look.result(LONGEST_LOOK)

    def _note_apart(self) -> None:
        """Notes the answer itself: nobody may be waiting for it any more, and the next one may be as late."""
        self._scopes = _stopped_apart()

    def _look_in_test(self) -> frozenset[str]:
        """Holds made inside a TestCase are never committed, so that only this connection sees them.

        All of them are made in this process: while none was heard of, a test that counts queries counts its own.
        """
        return _stopped() if self._still_open() else frozenset()

    def _still_open(self) -> list[object]:
        """The test cases, of those round us now, in which a hold was made or lifted."""
        return [block for block in self._heard_in if block in connections[_alias()].atomic_blocks]


def _alias() -> str:
    return router.db_for_write(Hold)


def _stopped() -> frozenset[str]:
    holds = Hold.objects.using(_alias()).of_kill_switch()
    return frozenset(holds.in_force(timezone.now()).values_list("scope", flat=True))


def _stopped_apart() -> frozenset[str]:
    try:
        return _stopped()
    finally:
        with suppress(Error):  # it may be broken already
            connections.close_all()  # those of this thread


kill_switch = KillSwitch()
for signal in (post_save, post_delete):
    signal.connect(kill_switch.look_again, sender=Hold, dispatch_uid="django_sf_oauth.kill_switch")
# A flush, as after each TransactionTestCase, deletes without the signals above.
post_migrate.connect(kill_switch.look_again, dispatch_uid="django_sf_oauth.kill_switch")
with suppress(AttributeError):  # Windows does not fork
    os.register_at_fork(after_in_child=kill_switch.start_over)
