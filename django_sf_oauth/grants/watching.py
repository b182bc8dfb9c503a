"""What a refresh does while somebody else asks for the same grant: it sleeps, and looks when it is worth it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.db import Error

from django_sf_oauth.conf import get_app

from .contract import Grant, GrantStore
from .pace import Pace

__all__ = ["Watching"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Watching:
    """Sleeps and looks for one refresh; `clock` tells seconds."""

    store: GrantStore
    sleep: Callable[[float], None]
    clock: Callable[[], float]
    pace: Pace

    def pause(self, seconds: float) -> None:
        """Sleeps without a database connection, unless it would take longer to open another one."""
        if seconds > self.store.keeps_for():
            self.store.let_go()
        self.sleep(seconds)

    def watch(self, grant: Grant, left: float) -> Grant | None:
        """Sleeps until the answer to somebody else should be there, then in short steps.

        Args:
            grant: the row with the lease that somebody else has.
            left: seconds until there is nothing to watch any more.

        Returns:
            The row as it is then.
        """
        now = seen = self.clock()  # when it was seen under way last
        # The lease of a process with other settings may be longer than this one's.
        began = now - max(0.0, get_app(grant.app).timeouts.lease - (grant.lease_left or 0.0))
        ends = now + left
        while True:
            self.pause(min(self.pace.pause(now - began), ends - now))
            looked = self.clock()
            latest, now = self._look_again(grant), self.clock()
            if not _is_under_way(grant, latest):
                if _came_to_an_end(grant, latest):
                    self.pace.learn_between(seen - began, now - began)
                return latest
            if now >= ends:
                return latest
            seen = looked

    def _look_again(self, grant: Grant) -> Grant | None:
        try:
            return self.store.read(grant.key)
        except Error:
            self.store.let_go()
            return self.store.read(grant.key)  # on a fresh connection


def _is_under_way(before: Grant, now: Grant | None) -> bool:
    """Whether the lease that was read before is still in force, and nothing has come of it."""
    if now is None or now.lease_left is None or now.lease_left <= 0:
        return False
    return (now.generation, now.lease_owner) == (before.generation, before.lease_owner)


def _came_to_an_end(before: Grant, now: Grant | None) -> bool:
    """Whether something came of it. Else its owner was killed, which says nothing of how long exchanges take."""
    return now is not None and (now.lease_left is None or now.generation != before.generation)
