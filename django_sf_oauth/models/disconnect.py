"""Giving a connection up: unusable at once, revoked at Salesforce now or later.

``SalesforceConnection.disconnect()`` is a promise of the model, so both halves are told here; the words that go to
Salesforce are the transport's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connections, router, transaction
from django.db.models import F
from django.views.decorators.debug import sensitive_variables

from django_sf_oauth.conf import get_app
from django_sf_oauth.exceptions import ConfigurationError, NotConnected, TokenUnreadable
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.protocol.errors import Actor, Refusal

from .connection import SalesforceConnection
from .event import ConnectionEvent
from .record import record, record_revoked
from .revocation import PendingRevocation

__all__ = [
    "FORGOTTEN",
    "ask_to_revoke",
    "call_off",
    "disconnect",
    "forget_later",
    "give_up",
    "hand_on_default",
    "is_in_transaction",
    "revocation_of",
    "revoke_after_commit",
    "revoke_now",
    "settle",
]

Kind = ConnectionEvent.Kind


def disconnect(connection: SalesforceConnection, *, actor: Any = None) -> bool:
    """Forgets the tokens in one commit, then tells Salesforce. Returns whether Salesforce confirmed it."""
    pending = give_up(connection, actor=actor)
    return pending is not None and revoke_after_commit(pending)


def give_up(
    connection: SalesforceConnection,
    *,
    actor: Any = None,
    reason: str = "",
    unless_used_since: datetime | None = None,
) -> PendingRevocation | None:
    """The local half: from its commit on nothing here can use the grant. Returns what Salesforce must be told.

    Args:
        reason: why, if nobody asked for it.
        unless_used_since: leaves one alone that was used, or connected anew, at that time or later.
    """
    using = router.db_for_write(SalesforceConnection)
    with transaction.atomic(using=using):
        row = _locked(connection, using)
        if unless_used_since is not None and (row.last_used_at or row.connected_at) >= unless_used_since:
            return None
        pending, token = forget_later(row, reason=reason or "disconnected"), row.refresh_token
        if row.status != Status.DISCONNECTED:
            _forget(row)
            row.refresh_from_db(using)
            record(row, Kind.DISCONNECTED, reason=reason, actor=actor, token=token)
    connection.refresh_from_db(using)
    return pending


def _locked(connection: SalesforceConnection, using: str) -> SalesforceConnection:
    """The row, with all others of its user locked too, since one of these may become the default.

    By primary key: whoever locks several of a user's rows does it in this order, so that nobody deadlocks.
    """
    rows = SalesforceConnection.objects.using(using).select_for_update()
    locked = {row.pk: row for row in rows.filter(user=connection.user_id).order_by("pk")}
    if connection.pk not in locked:
        raise NotConnected(connection_id=connection.uuid)
    return locked[connection.pk]


def revoke_after_commit(pending: PendingRevocation) -> bool:
    """Asks at once, or after the commit of the caller's transaction, which may still bring the tokens back."""
    if not is_in_transaction():
        return revoke_now(pending)
    using = router.db_for_write(SalesforceConnection)
    transaction.on_commit(lambda: revoke_now(pending), using=using, robust=True)
    return False


def is_in_transaction() -> bool:
    """Whether a caller may still roll back what is written now; a `TestCase` does not count."""
    blocks = connections[router.db_for_write(SalesforceConnection)].atomic_blocks
    return not all(getattr(block, "_from_testcase", False) for block in blocks)


@sensitive_variables()
def forget_later(connection: SalesforceConnection, *, reason: str) -> PendingRevocation | None:
    """Notes, in the caller's transaction, the grant that Salesforce has to be told to forget, and why."""
    if pending := revocation_of(connection, reason=reason):
        pending.save()
    return pending


@sensitive_variables()
def revocation_of(connection: SalesforceConnection, *, reason: str) -> PendingRevocation | None:
    """What is to be noted, not yet stored; None when there is no token, or none that can be read."""
    token = connection.refresh_token or connection.access_token
    if token is None:
        return None
    pending = PendingRevocation(
        reason=reason,
        app=connection.app,
        login_url=connection.login_url,
        connection_uuid=connection.uuid,
        organization_id=connection.organization_id,
    )
    try:
        pending.token = token.reveal()  # no variable keeps it in clear, which the report of an error would show
    except TokenUnreadable:
        return None  # what no key opens cannot be revoked from here
    return pending


@sensitive_variables()
def call_off(connection: SalesforceConnection) -> None:
    """Takes off the list, in the caller's transaction, what would end the grant that the connection has now."""
    using = router.db_for_write(PendingRevocation)
    rows = PendingRevocation.objects.using(using).filter(connection_uuid=connection.uuid)
    # One that is locked is being asked for, or was: to wait for it saves nothing, and its holder may wait for us.
    skip_locked = connections[using].features.has_select_for_update_skip_locked
    free = rows.select_for_update(skip_locked=skip_locked).order_by("pk")
    same = [one.pk for one in free if one.token and one.token.opens_like(connection.refresh_token)]
    rows.filter(pk__in=same).delete()


FORGOTTEN = {
    "access_token": None,
    "refresh_token": None,
    "generation": F("generation") + 1,  # a refresh that is in flight finds that it came too late
    "status": Status.DISCONNECTED,
    "reason": "",
    "withheld": "",
    "is_default": None,
    "expires_at": None,
    "next_refresh_at": None,
    "lease_owner": None,
    "lease_until": None,
    "in_doubt_since": None,
}


def _forget(row: SalesforceConnection) -> None:
    SalesforceConnection.objects.filter(pk=row.pk).update(**FORGOTTEN)
    if row.is_default:
        hand_on_default(row)


def hand_on_default(row: SalesforceConnection) -> None:
    """Makes another of the user's connections their default, if there is one."""
    # On the primary: a replica does not know yet what this transaction did.
    using = router.db_for_write(SalesforceConnection)
    rows = SalesforceConnection.objects.using(using).filter(user=row.user_id)
    heir = rows.connected().order_by("status", "pk").first()  # "active" comes first
    if heir is not None and not rows.filter(is_default=True).exists():
        rows.filter(pk=heir.pk).update(is_default=True)


def revoke_now(pending: PendingRevocation) -> bool:
    """Asks Salesforce once. Returns whether the grant is gone; if not, it is tried again later."""
    if ask_to_revoke(pending) is not None:
        pending.postpone()
        return False
    settle([pending])
    return True


@sensitive_variables()
def ask_to_revoke(pending: PendingRevocation) -> Refusal | None:
    """Asks Salesforce, and no database. Returns why the grant is not gone; None when it is."""
    from django_sf_oauth import transport  # not at start-up: it brings requests and oauthlib

    try:
        app = get_app(pending.app)
        answer = transport.revoke(
            app.within(app.timeouts.wait),  # somebody may be waiting for the page, and it can be repeated
            login_url=pending.login_url,
            token=pending.token.reveal() if pending.token else "",
        )
    except (ConfigurationError, TokenUnreadable) as error:
        return Refusal(actor=Actor.OPERATOR, reason=error.code)
    return answer if isinstance(answer, Refusal) else None


def settle(confirmed: Sequence[PendingRevocation]) -> None:
    """Salesforce has forgotten them: takes them off the list, each with one event, whoever else has asked too."""
    using = router.db_for_write(PendingRevocation)
    with transaction.atomic(using=using):
        rows = PendingRevocation.objects.using(using).filter(pk__in=[one.pk for one in confirmed])
        left = set(rows.select_for_update().order_by("pk").values_list("pk", flat=True))
        found = [one for one in confirmed if one.pk in left]
        uuids = [one.connection_uuid for one in found]
        record_revoked(found, SalesforceConnection._base_manager.using(using).filter(uuid__in=uuids))
        rows.delete()
