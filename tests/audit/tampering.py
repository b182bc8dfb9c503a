"""What somebody with write access to the database does to the audit trail, past the models."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db.models import QuerySet

from django_sf_oauth.models import AuditChain, ConnectionEvent, SalesforceConnection
from django_sf_oauth.models.record import record
from django_sf_oauth.services.audit_verification import Wrong, verify

__all__ = ["Kind", "chain_of", "change", "events_of", "found", "remove", "row_with_history", "wrongs"]

Kind = ConnectionEvent.Kind

HISTORY = (Kind.CONNECTED, Kind.RECONNECT_REQUIRED, Kind.RECONNECTED, Kind.BLOCKED, Kind.RECOVERED)


def row_with_history(row: SalesforceConnection) -> SalesforceConnection:
    for kind in HISTORY:
        record(row, kind)
    return row


def events_of(row: SalesforceConnection) -> list[ConnectionEvent]:
    return list(ConnectionEvent.objects.filter(connection_uuid=row.uuid).order_by("pk"))


def chain_of(row: SalesforceConnection) -> AuditChain:
    return AuditChain.objects.get(pk=row.uuid)


def change(event: ConnectionEvent, **values: Any) -> None:
    QuerySet(ConnectionEvent).filter(pk=event.pk).update(**values)


def remove(*events: ConnectionEvent) -> None:
    QuerySet(ConnectionEvent).filter(pk__in=[event.pk for event in events]).delete()


def found(events: Any = None) -> tuple[list[Wrong], Counter[str]]:
    """What a verifier finds, of all events unless some are given, and what it counts."""
    counts: Counter[str] = Counter()
    whole = events is None
    chosen = ConnectionEvent.objects.all() if whole else events
    return list(verify(chosen, counts, whole=whole)), counts


def wrongs(events: Any = None) -> list[tuple[str, str]]:
    """What is wrong, each with the number that it is about."""
    return [(wrong.what, wrong.sequence) for wrong in found(events)[0]]
