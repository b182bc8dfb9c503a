"""A verified token answer becomes a connection."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import router, transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from django_sf_oauth.conf import AppSettings
from django_sf_oauth.exceptions import TokenUnreadable
from django_sf_oauth.models import ConnectAttempt, ConnectionEvent, PendingRevocation, SalesforceConnection
from django_sf_oauth.models.disconnect import call_off, forget_later
from django_sf_oauth.models.record import record
from django_sf_oauth.models.suspicion import suspect, suspect_shared_token
from django_sf_oauth.models.token_values import token_values
from django_sf_oauth.protocol.hosts import is_sandbox_url

from .default_connection import become_default_if_first
from .verification import Verified

__all__ = ["Stored", "store"]

Kind = ConnectionEvent.Kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """What has been committed.

    Attributes:
        is_new: this user had never connected this Salesforce user before.
        replaced: the grant that the new one takes the place of, still to be revoked.
        expected: the connection that was to be renewed, when somebody else signed in: it waits on untouched.
    """

    connection: SalesforceConnection
    is_new: bool
    replaced: PendingRevocation | None
    expected: SalesforceConnection | None


@sensitive_variables()
def store(attempt: ConnectAttempt, app: AppSettings, verified: Verified) -> Stored:
    """Creates the connection of this identity or renews it, in one commit, together with its audit."""
    using = router.db_for_write(SalesforceConnection)
    with transaction.atomic(using=using):
        row, is_new = _row_of(attempt, verified)
        replaced = _replaced(row, verified)
        _write(row, attempt, app, verified)
        become_default_if_first(row)
        row.refresh_from_db(using)
        call_off(row)  # Salesforce may give a grant again that it has still to be told to forget
        record(row, Kind.CONNECTED if is_new else Kind.RECONNECTED, actor=attempt.user)
        suspect_shared_token(row)
        expected = attempt.connection if attempt.connection_id not in (None, row.pk) else None
        if expected is not None:
            _record_mismatch(expected, row, attempt)
    return Stored(connection=row, is_new=is_new, replaced=replaced, expected=expected)


def _record_mismatch(expected: SalesforceConnection, row: SalesforceConnection, attempt: ConnectAttempt) -> None:
    record(expected, Kind.IDENTITY_MISMATCH, reason="other_identity", actor=attempt.user)
    if expected.organization_id != row.organization_id:
        suspect(expected, "other_org")


def _row_of(attempt: ConnectAttempt, verified: Verified) -> tuple[SalesforceConnection, bool]:
    row, is_new = SalesforceConnection.objects.get_or_create(
        user=attempt.user,
        app=attempt.app,
        organization_id=verified.identity.organization_id,
        salesforce_user_id=verified.identity.user_id,
        defaults={
            "generation": 0,  # the tokens below are its first
            "login_url": attempt.login_url,
            "instance_url": verified.instance_url,
        },
    )
    return SalesforceConnection.objects.select_for_update().get(pk=row.pk), is_new


@sensitive_variables()
def _replaced(row: SalesforceConnection, verified: Verified) -> PendingRevocation | None:
    """Salesforce keeps five approvals per user and app and drops the oldest: what is replaced must go."""
    old = row.refresh_token
    try:
        if old is not None and old.reveal() == verified.answer.refresh_token:
            return None  # revoking it would end the new grant
    except TokenUnreadable:
        return None  # what no key opens cannot be revoked from here
    return forget_later(row, reason="replaced")


@sensitive_variables()
def _write(row: SalesforceConnection, attempt: ConnectAttempt, app: AppSettings, verified: Verified) -> None:
    is_sandbox = is_sandbox_url(attempt.login_url) or is_sandbox_url(verified.instance_url)
    row.told_lifetime = row.learned_lifetime = None  # another session policy may hold by now
    row.last_used_at = timezone.now()  # to connect is to use: its first refresh comes ahead of expiry
    SalesforceConnection.objects.filter(pk=row.pk).update(
        **token_values(row, verified.answer, app),
        told_lifetime=None,
        learned_lifetime=None,
        generation=row.generation + 1,  # a refresh of the old grant that is in flight comes too late
        login_url=attempt.login_url,
        scopes=list(verified.scopes),
        is_sandbox=row.is_sandbox or is_sandbox,
        connected_at=row.last_used_at,
        last_used_at=row.last_used_at,
    )
