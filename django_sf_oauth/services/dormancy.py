"""Giving up what nobody uses: a grant that lies about can only be stolen."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice

from django.db.models import Q
from django.utils import timezone

from django_sf_oauth.conf import get_apps
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.models.disconnect import give_up, revoke_after_commit
from django_sf_oauth.models.queryset import SalesforceConnectionQuerySet

__all__ = ["expire_dormant"]

logger = logging.getLogger("django_sf_oauth.dormancy")

LIMIT = 10_000  # connections per run: what is left is found by the next one
BUDGET = 240.0  # seconds
REASON = "dormant"


def expire_dormant(
    *,
    limit: int = LIMIT,
    budget: float = BUDGET,
    monotonic: Callable[[], float] = time.monotonic,
    dry_run: bool = False,
) -> Counter[str]:
    """Disconnects the connections that nobody has used for the ``DORMANT_AFTER`` of their app.

    Args:
        limit: how many at most.
        budget: seconds after which no further one is given up.
        monotonic: a clock in seconds.

    Returns:
        How many ended how: ``revoked`` (Salesforce confirmed it), ``pending`` (unusable here, and `revoke_pending`
        goes on asking Salesforce), ``gone`` (there was no grant left, or it was used just now) and ``failed``
        (logged by the type of its error); with `dry_run`, under ``dormant`` how many there are.
    """
    if dry_run:
        return Counter(dormant=sum(_unused(alias, since).count() for alias, since in _moments()))
    deadline = monotonic() + budget
    counts: Counter[str] = Counter()
    for pk, since in islice(_dormant(limit), limit):
        if monotonic() >= deadline:
            break
        counts[_expire(pk, since)] += 1
    return counts


def _moments() -> Iterator[tuple[str, datetime]]:
    """The apps that have a limit, and since when their connections must have been used."""
    now = timezone.now()
    for alias, app in get_apps().items():
        if app.dormant_after is not None:
            yield alias, now - app.dormant_after


def _dormant(limit: int) -> Iterator[tuple[int, datetime]]:
    for alias, since in _moments():
        for pk in list(_unused(alias, since).order_by("pk").values_list("pk", flat=True)[:limit]):
            yield pk, since


def _unused(alias: str, since: datetime) -> SalesforceConnectionQuerySet:
    never = Q(last_used_at=None, connected_at__lt=since)
    return SalesforceConnection.objects.connected().filter(Q(last_used_at__lt=since) | never, app=alias)


def _expire(pk: int, since: datetime) -> str:
    connection = SalesforceConnection.objects.connected().filter(pk=pk).first()
    if connection is None:
        return "gone"
    try:
        pending = give_up(connection, reason=REASON, unless_used_since=since)
        if pending is None:
            return "gone"
        return "revoked" if revoke_after_commit(pending) else "pending"
    except Exception as error:
        # The type alone: a message may quote what was being written.
        logger.error("event=revoke_error connection=%s error=%s", connection.uuid, type(error).__name__)
        return "failed"
