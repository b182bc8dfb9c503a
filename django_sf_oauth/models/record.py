"""The one place where a change becomes an audit event, a signal, and an incident to tell its user of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from django.db import router, transaction
from django.views.decorators.debug import sensitive_variables

from django_sf_oauth import signals
from django_sf_oauth.exceptions import TokenUnreadable

from . import signing
from .event import ConnectionEvent
from .notice import Notice

if TYPE_CHECKING:
    from django_sf_oauth.fields import Sealed

    from .connection import SalesforceConnection
    from .revocation import PendingRevocation

__all__ = ["notify", "record", "record_all", "record_failure", "record_revoked"]

Kind = ConnectionEvent.Kind

SIGNALS = {
    Kind.CONNECTED: signals.connected,
    Kind.RECONNECTED: signals.reconnected,
    Kind.RECONNECT_REQUIRED: signals.reconnect_required,
    Kind.BLOCKED: signals.blocked,
    Kind.RECOVERED: signals.recovered,
    Kind.DISCONNECTED: signals.disconnected,
    Kind.SUSPICIOUS: signals.suspicious,
}
NO_TOKENS: Mapping[int, Sealed | None] = MappingProxyType({})
ENDS_INCIDENT = frozenset(
    {
        Kind.BLOCKED,  # somebody else has to act now
        Kind.DELETED,
        Kind.DISCONNECTED,
        Kind.RECONNECTED,
        Kind.RECOVERED,
        Kind.VERDICT_WITHDRAWN,
    }
)


def record(
    connection: SalesforceConnection,
    kind: ConnectionEvent.Kind,
    *,
    reason: str = "",
    actor: Any = None,
    user_stays: bool = True,
    token: Sealed | None = None,
) -> None:
    """Writes the event in the caller's transaction and sends its signal once that is committed.

    Args:
        user_stays: the user is not being deleted along with the connection.
        token: the refresh token that was in force, if the row holds it no more; the event keeps a fingerprint.
    """
    _event(connection, kind, reason=reason, actor=actor, user_stays=user_stays, token=token).save()
    _keep_incidents([connection], kind)
    _announce(connection, kind, reason)


def record_all(
    connections: Sequence[SalesforceConnection],
    kind: ConnectionEvent.Kind,
    *,
    actor: Any = None,
    tokens: Mapping[int, Sealed | None] = NO_TOKENS,
) -> None:
    """As `record`, for many at once; the reason of each is its own, or what is withheld of it.

    Args:
        tokens: by primary key, the refresh tokens that were in force, of rows that hold theirs no more.
    """
    reasons = [connection.reason or connection.withheld for connection in connections]
    ConnectionEvent.objects.bulk_create(
        _event(connection, kind, reason=reason, actor=actor, token=tokens.get(connection.pk))
        for connection, reason in zip(connections, reasons, strict=True)
    )
    _keep_incidents(connections, kind)
    for connection, reason in zip(connections, reasons, strict=True):
        _announce(connection, kind, reason)


def _keep_incidents(connections: Sequence[SalesforceConnection], kind: ConnectionEvent.Kind) -> None:
    if kind == Kind.RECONNECT_REQUIRED:
        Notice.objects.open_for(connections)
    elif kind in ENDS_INCIDENT:
        Notice.objects.close_for(connections)


def _event(
    connection: SalesforceConnection,
    kind: ConnectionEvent.Kind,
    *,
    reason: str,
    actor: Any = None,
    user_stays: bool = True,
    token: Sealed | None = None,
) -> ConnectionEvent:
    return ConnectionEvent(
        kind=kind,
        reason=reason,
        connection=None if kind == Kind.DELETED else connection,
        connection_uuid=connection.uuid,
        user_id=connection.user_id if user_stays else None,
        user_key="" if user_stays else str(connection.user_id),
        actor=actor,
        app=connection.app,
        organization_id=connection.organization_id,
        salesforce_user_id=connection.salesforce_user_id,
        username=connection.username,
        fingerprint=_fingerprint(token or connection.refresh_token),
    )


@sensitive_variables()
def _fingerprint(token: Sealed | None) -> str:
    try:
        return signing.fingerprint(token.reveal()) if token else ""
    except TokenUnreadable:
        return ""


def _announce(connection: SalesforceConnection, kind: ConnectionEvent.Kind, reason: str) -> None:
    if signal := SIGNALS.get(kind):
        details: dict[str, Any] = {"reason": reason} if reason else {}
        notify(signal, connection, **details)


def record_failure(user: Any, *, app: str, reason: str, connection: SalesforceConnection | None = None) -> None:
    """Writes that the user's attempt to connect failed, with the connection that it was to renew, if any."""
    if connection is not None:
        record(connection, Kind.CONNECT_FAILED, reason=reason, actor=user)
    else:
        ConnectionEvent.objects.create(kind=Kind.CONNECT_FAILED, reason=reason, user=user, actor=user, app=app)


def record_revoked(revoked: Sequence[PendingRevocation], rows: Iterable[SalesforceConnection]) -> None:
    """Writes that Salesforce has forgotten these grants; `rows` are their connections that still exist."""
    connections = {row.uuid: row for row in rows}
    ConnectionEvent.objects.bulk_create(
        _revoked(pending, connections.get(pending.connection_uuid)) for pending in revoked
    )


def _revoked(pending: PendingRevocation, connection: SalesforceConnection | None) -> ConnectionEvent:
    return ConnectionEvent(
        kind=Kind.REVOKED,
        reason=pending.reason,
        connection=connection,
        connection_uuid=pending.connection_uuid,
        user_id=connection.user_id if connection else None,
        app=pending.app,
        organization_id=pending.organization_id,
        fingerprint=_fingerprint(pending.token),
    )


def notify(signal: Any, connection: SalesforceConnection, **details: Any) -> None:
    """Sends a signal after the commit; a receiver that fails is logged and disturbs nobody."""
    transaction.on_commit(
        lambda: signal.send_robust(sender=type(connection), connection=connection, **details),
        using=router.db_for_write(type(connection)),
    )
