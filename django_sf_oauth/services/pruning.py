"""Throwing away what is too old to matter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import router, transaction
from django.db.models import Min, QuerySet
from django.utils import timezone

from django_sf_oauth.models import AuditChain, ConnectAttempt, ConnectionEvent

from .rate_limits import attempts_kept

__all__ = ["KEEP_EVENTS", "prune"]

KEEP_EVENTS = timedelta(days=400)  # a year's audit, and some weeks to read it
CHUNK = 5000  # rows per DELETE: none holds its locks for long


def prune(*, keep_events: timedelta = KEEP_EVENTS, dry_run: bool = False) -> dict[str, int]:
    """Deletes audit events older than `keep_events`, and attempts to connect that matter no more.

    The history of a connection is cut at its beginning only, and what is left of it is signed: an event that a
    slow clock dates too early stays until those before it in its history go.

    Returns:
        How many rows of each: ``{"events": …, "attempts": …}``; with `dry_run`, how many it would be.
    """
    moment = timezone.now() - keep_events
    stale = ConnectAttempt.objects.stale(attempts_kept())
    if dry_run:
        return {"events": ConnectionEvent.objects.older_than(moment).count(), "attempts": stale.count()}
    return {"events": _prune_events(moment), "attempts": _delete(stale)}


def _prune_events(moment: datetime) -> int:
    old = ConnectionEvent.objects.older_than(moment)
    deleted, last = _delete(old.filter(sequence=None)), 0
    numbered = old.filter(sequence__isnull=False).order_by("pk")
    while rows := list(numbered.filter(pk__gt=last).values_list("pk", "connection_uuid", "sequence")[:CHUNK]):
        last = rows[-1][0]
        deleted += _cut(rows, moment)
    return deleted


def _cut(old: Sequence[tuple[int, Any, Any]], moment: datetime) -> int:
    """Deletes those before which nothing is kept, and notes where their chains begin now."""
    using = router.db_for_write(ConnectionEvent)
    with transaction.atomic(using=using):
        events, uuids = ConnectionEvent._base_manager.using(using), {uuid for _, uuid, _ in old}
        chains = AuditChain.objects.using(using).locked(uuids)
        kept = events.filter(connection_uuid__in=uuids, sequence__isnull=False, created_at__gte=moment).order_by()
        begins = dict(kept.values_list("connection_uuid").annotate(Min("sequence")))
        gone = [row for row in old if row[2] < begins.get(row[1], row[2] + 1)]
        for uuid, first in _beginnings(gone).items():
            chains[uuid].pruned(first=max(first, chains[uuid].first))
        AuditChain.objects.using(using).store(chains.values())
        return events.filter(pk__in=[pk for pk, _, _ in gone]).delete()[0]


def _beginnings(gone: Sequence[tuple[int, UUID, int]]) -> dict[UUID, int]:
    """By connection, the number after the last one that is deleted."""
    return {uuid: sequence + 1 for _, uuid, sequence in sorted(gone, key=lambda row: row[2])}


def _delete(rows: QuerySet[Any]) -> int:
    deleted = 0
    while ids := list(rows.order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        deleted += rows.model._base_manager.filter(pk__in=ids).delete()[0]
    return deleted
