"""Throwing away what is too old to matter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from math import inf
from typing import Any
from uuid import UUID

from django.db import router, transaction
from django.db.models import Min, QuerySet
from django.utils import timezone

from django_sf_oauth.models import AuditChain, ConnectAttempt, ConnectionEvent

from .auditing import in_batches
from .rate_limits import attempts_kept

__all__ = ["KEEP_EVENTS", "prune"]

KEEP_EVENTS = timedelta(days=400)  # a year's audit, and some weeks to read it
CHUNK = 5000  # rows per DELETE: none holds its locks for long


def prune(*, keep_events: timedelta = KEEP_EVENTS, dry_run: bool = False) -> dict[str, int]:
    """Deletes audit events older than `keep_events`, and attempts to connect that matter no more.

    The history of a connection is cut at its beginning only, and what is left of it is signed: an event that a
    slow clock dates too early stays until those before it in its history go. An event that is not as it was
    written stays whatever its date, and all that follows it in its history: somebody may have dated it so.

    Returns:
        How many rows of each: ``{"events": …, "attempts": …}``; with `dry_run`, how many it would be at most.
    """
    moment = timezone.now() - keep_events
    stale = ConnectAttempt.objects.stale(attempts_kept())
    if dry_run:
        return {"events": ConnectionEvent.objects.older_than(moment).count(), "attempts": stale.count()}
    return {"events": _prune_events(moment), "attempts": _delete(stale)}


def _prune_events(moment: datetime) -> int:
    stays: dict[UUID | None, float] = {}
    return sum(_cut(old, moment, stays) for old in in_batches(ConnectionEvent.objects.older_than(moment), CHUNK))


def _cut(old: Sequence[ConnectionEvent], moment: datetime, stays: dict[UUID | None, float]) -> int:
    """Deletes those before which nothing is kept, and notes where their chains begin now.

    Args:
        stays: by connection, the number of the first event that is not as it was written; is added to.
    """
    using = router.db_for_write(ConnectionEvent)
    with transaction.atomic(using=using):
        events = ConnectionEvent._base_manager.using(using)
        chains = AuditChain.objects.using(using).locked(_connections_of(old))
        for event in old:
            if event.sequence is not None and not event.holds():
                stays[event.connection_uuid] = min(event.sequence, stays.get(event.connection_uuid, inf))
        kept = events.filter(connection_uuid__in=chains, sequence__isnull=False, created_at__gte=moment).order_by()
        begins = dict(kept.values_list("connection_uuid").annotate(Min("sequence")))
        gone = [
            event
            for event in old
            if (event.holds() if event.sequence is None else event.sequence < _first_of(event, begins, stays))
        ]
        for uuid, first in _beginnings(gone).items():
            chains[uuid].pruned(first=max(first, chains[uuid].first))
        AuditChain.objects.using(using).store(chains.values())
        return events.filter(pk__in=[event.pk for event in gone]).delete()[0]


def _connections_of(numbered: Iterable[ConnectionEvent]) -> set[UUID]:
    return {event.connection_uuid for event in numbered if event.connection_uuid and event.sequence is not None}


def _first_of(event: ConnectionEvent, *kept: Mapping[UUID | None, float]) -> float:
    """The lowest number that is kept of its connection's history."""
    return min(one.get(event.connection_uuid, inf) for one in kept)


def _beginnings(gone: Iterable[ConnectionEvent]) -> dict[UUID, int]:
    """By connection, the number after the last one that is deleted."""
    found: dict[UUID, int] = {}
    for event in gone:
        if event.connection_uuid and event.sequence is not None:
            found[event.connection_uuid] = max(event.sequence + 1, found.get(event.connection_uuid, 0))
    return found


def _delete(rows: QuerySet[Any]) -> int:
    deleted = 0
    while ids := list(rows.order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        deleted += rows.model._base_manager.filter(pk__in=ids).delete()[0]
    return deleted
