"""Staying connected: what a sweep has claimed is refreshed, a batch at a time.

It is level-triggered, as the sweep is: it looks at the rows as they are now. A lost task costs one interval, a
doubled one finds nothing left to do.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from django.utils import timezone

from django_sf_oauth.grants.contract import WATCHED
from django_sf_oauth.grants.engine import THREADS
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.models.active_user import is_active
from django_sf_oauth.models.readings import seen_in
from django_sf_oauth.models.store import engine

from .flights import Flights
from .sweep import BATCH, CLAIMED_FOR

__all__ = ["refresh_connections"]

logger = logging.getLogger("django_sf_oauth.schedule")

SET_ASIDE_FOR = timedelta(days=1)  # a connection of an inactive user is looked at that often
CLOCKS_DIFFER = timedelta(minutes=1)  # at most, between this machine and the database
BUDGET = 240.0  # seconds in which a batch starts exchanges
GRACE = 75.0  # seconds for those in flight to end: a whole exchange, and its store


def refresh_connections(
    ids: Sequence[int],
    *,
    forced: bool = False,
    budget: float = BUDGET,
    grace: float = GRACE,
    monotonic: Callable[[], float] = time.monotonic,
) -> Counter[str]:
    """Refreshes many connections side by side. One that fails stops no other.

    Args:
        ids: primary keys.
        forced: somebody asks for it now: also those that are not due, in back-off, blocked or flagged.
        budget: seconds after which no further exchange is started.
        grace: seconds that are then waited for those in flight; they go on in any case.
        monotonic: a clock in seconds.

    Returns:
        How many ended how: the kinds of `Outcome`, ``failed`` (an unforeseen error, logged by its type),
        ``skipped`` (not due any more, or its user is inactive), ``postponed`` (the budget was spent) and
        ``under_way`` (not ended within the grace).
    """
    deadline = monotonic() + budget
    flights = Flights(THREADS)
    counts: Counter[str] = Counter()
    for row in _rows(ids):
        if not _wants_refresh(row, forced=forced):
            counts["skipped"] += 1
        elif flights.has_room(deadline - monotonic()):
            flight = engine.submit(row.pk, row.generation, forced=forced, ahead=not forced, seen=seen_in(row))
            flights.add(flight, row.uuid)
        else:
            counts["postponed"] += 1
    flights.wait(grace)
    return counts + flights.endings


def _rows(ids: Sequence[int]) -> Iterator[SalesforceConnection]:
    """The connections as they are now, a batch at a time; those of inactive users are set aside."""
    for start in range(0, len(ids), BATCH):
        rows = SalesforceConnection.objects.filter(pk__in=ids[start : start + BATCH])
        found = list(rows.select_related("user"))
        _set_aside(row.pk for row in found if not _user_is_active(row))
        yield from found


def _set_aside(ids: Iterable[int]) -> None:
    """Keeps the connections of inactive users from being claimed again and again."""
    due = SalesforceConnection.objects.filter(pk__in=list(ids), next_refresh_at__lte=_claim_ends())
    due.update(next_refresh_at=timezone.now() + SET_ASIDE_FOR)


def _wants_refresh(row: SalesforceConnection, *, forced: bool) -> bool:
    return _user_is_active(row) and (forced or _is_due(row))


def _is_due(row: SalesforceConnection) -> bool:
    """Whether it still waits for the refresh it was claimed for: a success moves the due time further away."""
    due_at: datetime | None = row.next_refresh_at
    return row.status in WATCHED and due_at is not None and due_at <= _claim_ends()


def _claim_ends() -> datetime:
    # The sweep claims by the database's clock, and this one may be slower.
    return timezone.now() + CLAIMED_FOR + CLOCKS_DIFFER


def _user_is_active(row: SalesforceConnection) -> bool:
    return is_active(row.user)
