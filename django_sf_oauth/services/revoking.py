"""Ending grants: what an operator gives up, and what Salesforce has still to be told to forget."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from django_sf_oauth.models import PendingRevocation, SalesforceConnection
from django_sf_oauth.models.disconnect import give_up, revoke_after_commit, revoke_now

__all__ = ["disconnect_connections", "revoke_pending"]

logger = logging.getLogger("django_sf_oauth.revoking")

LIMIT = 500  # revocations per run
BUDGET = 240.0  # seconds
CLAIMED_FOR = timedelta(minutes=5)  # a revocation whose worker died is due again after that


def disconnect_connections(
    ids: Iterable[int],
    *,
    actor: Any = None,
    budget: float = BUDGET,
    monotonic: Callable[[], float] = time.monotonic,
) -> Counter[str]:
    """Disconnects many connections: all of them here first, then at Salesforce. One that fails stops no other.

    Args:
        ids: primary keys.
        actor: the user of this site who asked for it, for the audit trail.
        budget: seconds after which Salesforce is not asked for a further one.
        monotonic: a clock in seconds.

    Returns:
        How many ended how: ``revoked`` (Salesforce confirmed it), ``pending`` (unusable here, and
        `revoke_pending` goes on asking Salesforce), ``gone`` (nothing was left to do) and ``failed`` (logged by
        the type of its error).
    """
    deadline = monotonic() + budget
    counts: Counter[str] = Counter()
    for ended in [_give_up(pk, actor) for pk in ids]:
        if isinstance(ended, str):
            counts[ended] += 1
        else:
            counts[_revoke(ended, revoke_after_commit) if monotonic() < deadline else "pending"] += 1
    return counts


def _give_up(pk: int, actor: Any) -> PendingRevocation | str:
    """What is left to tell Salesforce, or how it ended."""
    connection = SalesforceConnection.objects.connected().filter(pk=pk).first()
    if connection is None:
        return "gone"
    try:
        return give_up(connection, actor=actor) or "gone"
    except Exception as error:
        return _failed(connection.uuid, error)


def revoke_pending(
    *,
    limit: int = LIMIT,
    budget: float = BUDGET,
    monotonic: Callable[[], float] = time.monotonic,
) -> Counter[str]:
    """Asks Salesforce to forget the grants whose revocation is due.

    Args:
        limit: how many at most.
        budget: seconds after which no further one is asked for.
        monotonic: a clock in seconds.

    Returns:
        How many ended how: ``revoked``, ``pending`` (asked for again later) and ``failed``.
    """
    deadline = monotonic() + budget
    counts: Counter[str] = Counter()
    due = PendingRevocation.objects.filter(next_attempt_at__lte=timezone.now()).order_by("next_attempt_at")
    for pending in due[:limit]:
        if monotonic() >= deadline:
            break
        if _claim(pending):
            counts[_revoke(pending, revoke_now)] += 1
    return counts


def _claim(pending: PendingRevocation) -> bool:
    """Pushes its due time ahead; of two runs at once, one may."""
    now = timezone.now()
    due = PendingRevocation.objects.filter(pk=pending.pk, next_attempt_at__lte=now)
    return bool(due.update(next_attempt_at=now + CLAIMED_FOR))


def _revoke(pending: PendingRevocation, revoke: Callable[[PendingRevocation], bool]) -> str:
    try:
        return "revoked" if revoke(pending) else "pending"
    except Exception as error:
        return _failed(pending.connection_uuid, error)


def _failed(uuid: UUID, error: Exception) -> str:
    # The type alone: a message may quote what was being written.
    logger.error("event=revoke_error connection=%s error=%s", uuid, type(error).__name__)
    return "failed"
