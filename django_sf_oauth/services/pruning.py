"""Throwing away what is too old to matter."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from django_sf_oauth.models import ConnectAttempt, ConnectionEvent

from .rate_limits import attempts_kept

__all__ = ["KEEP_EVENTS", "prune"]

KEEP_EVENTS = timedelta(days=400)  # a year's audit, and some weeks to read it
CHUNK = 5000  # rows per DELETE: none holds its locks for long


def prune(*, keep_events: timedelta = KEEP_EVENTS, dry_run: bool = False) -> dict[str, int]:
    """Deletes audit events older than `keep_events`, and attempts to connect that matter no more.

    Returns:
        How many rows of each: ``{"events": …, "attempts": …}``; with `dry_run`, how many it would be.
    """
    end = _count if dry_run else _delete
    return {
        "events": end(ConnectionEvent.objects.older_than(timezone.now() - keep_events)),
        "attempts": end(ConnectAttempt.objects.stale(attempts_kept())),
    }


def _count(rows: QuerySet[Any]) -> int:
    return rows.count()


def _delete(rows: QuerySet[Any]) -> int:
    deleted = 0
    while ids := list(rows.order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        deleted += rows.model._base_manager.filter(pk__in=ids).delete()[0]
    return deleted
