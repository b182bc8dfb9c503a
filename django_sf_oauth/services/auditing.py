"""Answers of the audit trail: which events, and whose token this is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.debug import sensitive_variables

from django_sf_oauth.exceptions import TokenUnreadable
from django_sf_oauth.fields import Sealed
from django_sf_oauth.models import ConnectionEvent, PendingRevocation, SalesforceConnection
from django_sf_oauth.models.signing import fingerprints
from django_sf_oauth.protocol.identity import to_18

from .selection import NoSuchUser, Selection, find_user

__all__ = ["Holder", "events_of", "exported", "in_batches", "whose"]

BATCH = 2000  # rows in memory at a time


def events_of(selection: Selection) -> QuerySet[ConnectionEvent]:
    """The events of the selected connections, also of those that are gone; all, when nothing is selected.

    ``since`` is about the event, and a user who was deleted is found by their primary key.

    Raises:
        NoSuchUser: nobody here is or was called so.
        ValueError: ``org`` is not an id.
    """
    wanted = {
        "connection_uuid__in": selection.uuids,
        "organization_id": selection.org and to_18(selection.org),
        "app": selection.app,
        "created_at__gte": selection.since,
    }
    events = ConnectionEvent.objects.filter(**{lookup: value for lookup, value in wanted.items() if value})
    return events.filter(_is_of(selection.user)) if selection.user else events


def _is_of(name: str) -> Q:
    try:
        user = find_user(name)
    except NoSuchUser:
        if not ConnectionEvent.objects.filter(user_key=name).exists():
            raise
        return Q(user_key=name)
    return Q(user=user) | Q(user_key=str(user.pk))


def in_batches(rows: QuerySet[Any], size: int | None = None) -> Iterator[list[Any]]:
    """Rows by primary key, so many at a time; MySQL's driver would fetch the whole answer of one query."""
    rest = rows.order_by("pk")  # from the lowest there is: an attacker may give a row a number below zero
    while batch := list(rest[: size or BATCH]):
        yield batch
        rest = rows.order_by("pk").filter(pk__gt=batch[-1].pk)


def exported(events: QuerySet[ConnectionEvent]) -> Iterator[dict[str, Any]]:
    """What there is to tell of each event, oldest first; times are in UTC."""
    for batch in in_batches(events):
        for event in batch:
            yield _facts(event)


def _facts(event: ConnectionEvent) -> dict[str, Any]:
    return {
        "id": event.pk,
        "created_at": _utc(event.created_at).isoformat(),
        "kind": event.kind,
        "reason": event.reason,
        "connection": event.connection_uuid and str(event.connection_uuid),
        "sequence": event.sequence,
        "user": event.user_key,
        "actor": event.actor_key,
        "app": event.app,
        "organization_id": event.organization_id,
        "salesforce_user_id": event.salesforce_user_id,
        "username": event.username,
        "fingerprint": event.fingerprint,
        "mac": event.mac,
    }


def _utc(moment: datetime) -> datetime:
    return (timezone.make_aware(moment) if timezone.is_naive(moment) else moment).astimezone(UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Where a token was found.

    Attributes:
        place: ``event`` (it was the refresh token in force then), ``connection`` (it is in force now),
            ``pending`` (it waits for its revocation), or ``unreadable`` (a row whose tokens no key opens, so that
            nobody knows).
        event: primary key.
    """

    place: str
    connection: UUID | None
    organization_id: str
    app: str
    event: int | None = None
    kind: str = ""
    created_at: datetime | None = None


@sensitive_variables()
def whose(token: str, selection: Selection) -> Iterator[Holder]:
    """Where a refresh token that somebody has found is known here, or an access token that is in force.

    Events are looked up by its fingerprint; the tokens in force are opened one after the other, since a rotation
    leaves no event.
    """
    for batch in in_batches(events_of(selection).filter(fingerprint__in=fingerprints(token))):
        for event in batch:
            yield Holder(
                place="event",
                connection=event.connection_uuid,
                organization_id=event.organization_id,
                app=event.app,
                event=event.pk,
                kind=event.kind,
                created_at=event.created_at,
            )
    yield from _holding(token, _connections(selection), "connection", "uuid", ("refresh_token", "access_token"))
    yield from _holding(token, _pending(selection), "pending", "connection_uuid", ("token",))


def _connections(selection: Selection) -> QuerySet[SalesforceConnection]:
    everything = selection if not selection.is_empty else Selection(everything=True)
    return everything.connections().only("uuid", "organization_id", "app", "access_token", "refresh_token")


def _pending(selection: Selection) -> QuerySet[PendingRevocation]:
    events = events_of(selection).values("connection_uuid")
    rows = PendingRevocation.objects.all()
    return rows if selection.is_empty else rows.filter(connection_uuid__in=events)


@sensitive_variables()
def _holding(token: str, rows: QuerySet[Any], place: str, uuid: str, names: tuple[str, ...]) -> Iterator[Holder]:
    for batch in in_batches(rows):
        for row in batch:
            found = [_is(token, getattr(row, name)) for name in names]
            if True in found or None in found:
                yield Holder(
                    place=place if True in found else "unreadable",
                    connection=getattr(row, uuid),
                    organization_id=row.organization_id,
                    app=row.app,
                )


@sensitive_variables()
def _is(token: str, stored: Sealed | None) -> bool | None:
    """None when no key opens it."""
    try:
        return stored is not None and constant_time_compare(stored.reveal(), token)
    except TokenUnreadable:
        return None
