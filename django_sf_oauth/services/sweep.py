"""The sweep: what is due is claimed and handed over, batch by batch.

It is level-triggered: it looks at the rows as they are now. What gets lost on the way is due again when its claim
has run out.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.db import connections, router, transaction
from django.utils import timezone

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.models.fleet_guard import make_canary_due

__all__ = ["BATCH", "CLAIMED_FOR", "SWEEP", "claim_due", "refresh_due"]

BATCH = 500  # connections per task
SWEEP = 10 * BATCH  # connections per sweep: what is left waits for the next one, not on the broker
CLAIMED_FOR = timedelta(minutes=5)  # a batch that got lost is due again after that


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
