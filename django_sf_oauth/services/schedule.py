"""Staying connected: what is due is claimed, handed over in batches and refreshed.

Everything here is level-triggered: it looks at the rows as they are now. A lost task costs one interval, a doubled
one finds nothing left to do.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from django.db import connections, router, transaction
from django.utils import timezone

from django_sf_oauth.grants.contract import WATCHED
from django_sf_oauth.grants.engine import THREADS
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.models.active_user import is_active
from django_sf_oauth.models.fleet_guard import make_canary_due
from django_sf_oauth.models.readings import seen_in
from django_sf_oauth.models.store import engine

from .flights import Flights

__all__ = ["BATCH", "CLAIMED_FOR", "SWEEP", "claim_due", "refresh_connections", "refresh_due"]

logger = logging.getLogger("django_sf_oauth.schedule")

BATCH = 500  # connections per task
SWEEP = 10 * BATCH  # connections per sweep: what is left waits for the next one, not on the broker
CLAIMED_FOR = timedelta(minutes=5)  # a batch that got lost is due again after that
SET_ASIDE_FOR = timedelta(days=1)  # a connection of an inactive user is looked at that often
BUDGET = 240.0  # seconds in which a batch starts exchanges
GRACE = 75.0  # seconds for those in flight to end: a whole exchange, and its store


def claim_due(limit: int = BATCH) -> list[int]:
    """Takes connections that are due, by pushing their due time ahead; of two sweeps at once, one gets each.

    Returns:
        Primary keys, longest overdue first.
    """
    alias = router.db_for_write(SalesforceConnection)
    skip_locked = connections[alias].features.has_select_for_update_skip_locked
    rows = SalesforceConnection.objects.using(alias)
    with transaction.atomic(using=alias):
        now = timezone.now()
        due = rows.due(now).select_for_update(skip_locked=skip_locked)
        ids = list(due.values_list("pk", flat=True)[:limit])
        rows.filter(pk__in=ids).update(next_refresh_at=now + CLAIMED_FOR)
    return ids


def refresh_due(hand_over: Callable[[list[int]], object], *, limit: int = SWEEP, batch: int = BATCH) -> int:
    """One sweep: claims what is due and hands it over, batch by batch.

    Args:
        hand_over: takes the primary keys of one batch; called after their claim was committed.
        limit: how many connections at most.
        batch: how many at a time.

    Returns:
        How many were handed over.
    """
    make_canary_due()
    claimed = 0
    while claimed < limit and (ids := claim_due(min(batch, limit - claimed))):
        claimed += len(ids)
        hand_over(ids)
    return claimed


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
    return timezone.now() + CLAIMED_FOR


def _user_is_active(row: SalesforceConnection) -> bool:
    return is_active(row.user)
