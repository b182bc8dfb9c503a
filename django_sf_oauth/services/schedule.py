"""Staying connected: what a sweep has claimed is refreshed, a batch at a time.

It is level-triggered, as the sweep is: it looks at the rows as they are now. A lost task costs one interval, a
doubled one finds nothing left to do.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from math import ceil

from django.db import Error, connections, router
from django.utils import timezone

from django_sf_oauth.conf import LONGEST_EXCHANGE
from django_sf_oauth.grants.contract import WATCHED, Grant, Outcome
from django_sf_oauth.grants.engine import THREADS
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.models.active_user import active_among
from django_sf_oauth.models.claiming import queue_up
from django_sf_oauth.models.readings import Watched, watched
from django_sf_oauth.models.store import engine

from .batches import BATCH
from .flights import Flights
from .throttle import Throttle

__all__ = ["refresh_connections"]

logger = logging.getLogger("django_sf_oauth.schedule")

SET_ASIDE_FOR = timedelta(days=1)  # a connection of an inactive user is looked at that often
CLOCKS_DIFFER = timedelta(minutes=1)  # at most, between this machine and the database
AHEAD = 2.0  # seconds that a connection is read before its exchange begins, in a batch that is spread
CATCH_UP = 0.1  # seconds by which a spread batch that was kept up hurries afterwards
BUDGET = 240.0  # seconds in which a batch starts exchanges
GRACE = LONGEST_EXCHANGE + 15.0  # seconds for those in flight to end: a whole exchange, and its store


def refresh_connections(
    ids: Sequence[int],
    *,
    forced: bool = False,
    over: float = 0.0,
    budget: float = BUDGET,
    grace: float = GRACE,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Counter[str]:
    """Refreshes many connections side by side. One that fails stops no other.

    Args:
        ids: primary keys.
        forced: somebody asks for it now: also those that are not due, in back-off, blocked or flagged.
        over: seconds over which the exchanges are begun, at even distances; 0 begins them as fast as they end.
        budget: seconds after which no further exchange is started.
        grace: seconds that are then waited for those in flight; they go on in any case.
        monotonic: a clock in seconds.
        sleep: waits so many seconds.

    Returns:
        How many ended how: the kinds of `Outcome`, ``failed`` (an unforeseen error, logged by its type),
        ``skipped`` (not due any more, or its user is inactive), ``postponed`` (the budget was spent) and
        ``under_way`` (not ended within the grace).
    """
    deadline = monotonic() + budget
    flights, throttle = Flights(THREADS), Throttle(monotonic, sleep, CATCH_UP)
    counts: Counter[str] = Counter()
    try:
        for row, is_active in _rows(ids, over):
            grant = row.grant
            if not is_active or not (forced or _is_due(row)):
                counts["skipped"] += 1
            elif flights.has_room(deadline - monotonic()):
                if over:
                    throttle.space("batch", over / len(ids))
                flights.add(_submit(grant, forced=forced), row)
            else:
                counts["postponed"] += 1
    finally:  # also when the rest could not be read
        flights.wait(grace)
        if not forced:
            _let_others_go_first(flights.failed)
    return counts + flights.endings


def _submit(grant: Grant, *, forced: bool) -> Future[Outcome]:
    return engine.submit(grant.key, grant.generation, forced=forced, ahead=not forced, see=lambda: grant)


def _let_others_go_first(failed: Mapping[datetime, Sequence[int]]) -> None:
    """Puts those that had their turn behind all that wait for theirs; if it cannot, they come again sooner."""
    alias = router.db_for_write(SalesforceConnection)
    for claimed_until, keys in failed.items():
        try:
            queue_up(alias, keys, claimed_until=claimed_until)
        except Error as error:
            logger.warning("event=queue_up_failed error=%s", type(error).__name__)


def _rows(ids: Sequence[int], over: float) -> Iterator[tuple[Watched, bool]]:
    """The connections as they are now, a piece at a time, and whether their users are active; else they wait.

    What is begun over so many seconds is not read long before, and holds no database connection meanwhile.
    """
    alias = router.db_for_write(SalesforceConnection)
    piece = ceil(len(ids) * AHEAD / over) if over else BATCH
    for start in range(0, len(ids), piece):
        found = list(watched(alias, ids[start : start + piece]))
        active = active_among(alias, {row.user for row in found})
        _set_aside(row.grant.key for row in found if row.user not in active)
        if over and not connections[alias].in_atomic_block:
            connections[alias].close_if_unusable_or_obsolete()
        yield from ((row, row.user in active) for row in found)


def _set_aside(ids: Iterable[int]) -> None:
    """Keeps the connections of inactive users from being claimed again and again."""
    due = SalesforceConnection.objects.filter(pk__in=list(ids), next_refresh_at__lte=_now_anywhere())
    due.update(next_refresh_at=timezone.now() + SET_ASIDE_FOR)


def _is_due(row: Watched) -> bool:
    """Whether it still waits for the refresh it was claimed for: a success moves the due time further away."""
    return row.grant.status in WATCHED and row.due_at is not None and row.due_at <= _now_anywhere()


def _now_anywhere() -> datetime:
    # The sweep goes by the database's clock, and this one may be slower.
    return timezone.now() + CLOCKS_DIFFER
