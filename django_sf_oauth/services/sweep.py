"""The sweep: what is due is claimed and handed over, batch by batch.

It is level-triggered: it looks at the rows as they are now. What gets lost on the way may be claimed again when
its claim has run out, by the database's clock, on which all machines agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import islice

from django.db import router

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.models.claiming import due_since
from django_sf_oauth.models.clock import database_now
from django_sf_oauth.models.due_order import DueOrder
from django_sf_oauth.models.fleet_guard import make_canary_due

from .batches import BATCH, SWEEP
from .pace import Pace
from .turns import in_turns

__all__ = ["CLAIMED_FOR", "claims", "oldest_due_age", "refresh_due", "release"]

CLAIMED_FOR = timedelta(minutes=5)  # a batch that got lost is due again after that


def refresh_due(
    hand_over: Callable[[list[int]], object],
    *,
    limit: int = SWEEP,
    batch: int = BATCH,
    is_over: Callable[[], bool] = lambda: False,
) -> int:
    """One sweep: claims what is due and hands it over, batch by batch.

    Args:
        hand_over: takes the primary keys of one batch; called after their claim was committed.
        limit: how many connections at most.
        batch: how many at a time.
        is_over: asked after each batch; what is left then is not claimed.

    Returns:
        How many were handed over.
    """
    make_canary_due()
    handed_over = 0
    for ids in claims(limit=limit, batch=batch):
        hand_over(ids)
        handed_over += len(ids)
        if is_over():
            break
    return handed_over


def release(ids: Sequence[int]) -> None:
    """Gives back what was claimed and could not be handed over: the next sweep may claim it."""
    SalesforceConnection.objects.filter(pk__in=ids).update(claimed_until=None)


def claims(*, limit: int = SWEEP, batch: int = BATCH) -> Iterator[list[int]]:
    """Takes connections that are due, for `CLAIMED_FOR`; of two sweeps at once, one gets each.

    The longest overdue come first, as far as no org keeps the others waiting and `REFRESH_RATE` allows.

    Yields:
        The primary keys of each batch, once its claim is committed.
    """
    alias = router.db_for_write(SalesforceConnection)
    now = database_now(alias)
    order = DueOrder(alias, now)
    pace = Pace(alias, now=now, claims_last=CLAIMED_FOR, met_another=order.give_way)
    due = in_turns(filter(pace.allows, order), limit=limit)
    while chosen := list(islice(due, max(0, min(batch, limit)))):
        if ids := pace.claim(chosen):
            limit -= len(ids)
            yield ids


def oldest_due_age() -> float:
    """Seconds that the longest overdue connection has waited for its refresh; 0 when none is due."""
    alias = router.db_for_write(SalesforceConnection)
    now = database_now(alias)
    since = due_since(alias, now)
    return (now - since).total_seconds() if since else 0.0
