"""The rows as the engine sees them: leases on the database's clock, writes fenced by the generation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.db import Error, connections, models, router, transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from django_sf_oauth import signals
from django_sf_oauth.conf import AppSettings, get_app
from django_sf_oauth.fields import sealed_field
from django_sf_oauth.grants.contract import Claim, Grant, Status, Verdict
from django_sf_oauth.grants.due import next_refresh_at
from django_sf_oauth.grants.engine import Engine
from django_sf_oauth.grants.refresh import Refresher
from django_sf_oauth.protocol.hosts import host_of, is_trusted_url
from django_sf_oauth.protocol.tokens import TokenAnswer, jwt_expiry

from .clock import DatabaseClock
from .connection import SalesforceConnection
from .event import ConnectionEvent
from .hold import Hold
from .record import notify, record
from .revocation import PendingRevocation

__all__ = ["RowStore", "engine", "is_usable_instance", "token_values"]

LONGEST_URL = 255  # characters
LOCK_WAIT = 2  # seconds that a claim waits for a row that somebody holds

Rows = models.QuerySet[SalesforceConnection]
Kind = ConnectionEvent.Kind


class RowStore:
    """Implements `GrantStore` on `SalesforceConnection`."""

    def inline(self) -> bool:
        blocks = connections[_alias()].atomic_blocks
        # Rows made inside a TestCase are never committed: no other connection could see them.
        return bool(blocks) and getattr(blocks[0], "_from_testcase", False)

    def read(self, key: int) -> Grant | None:
        row = _rows().filter(pk=key).first()
        return None if row is None else _grant(row)

    def held(self, grant: Grant) -> str:
        host = host_of(grant.login_url)
        holds = Hold.objects.using(_alias()).on(app=grant.app, organization_id=grant.organization_id, host=host)
        return holds.in_force(timezone.now()).values_list("reason", flat=True).first() or ""

    def claim(self, grant: Grant, *, lease: float) -> Claim | None:
        owner = uuid4()
        free = Q(lease_until=None) | Q(lease_until__lte=DatabaseClock())
        with self._own_commit():
            # The step moves on with each failure: who read the row before one must look at it again.
            unchanged = {"generation": grant.generation, "backoff_step": grant.backoff_step}
            rows = _rows().filter(free, pk=grant.key, **unchanged)
            taken = rows.update(
                # First: MySQL evaluates assignments in order, and this one reads the old owner.
                in_doubt_since=Case(
                    When(lease_owner__isnull=False, then=Coalesce("in_doubt_since", Value(timezone.now()))),
                    default=F("in_doubt_since"),
                ),
                lease_owner=owner,
                lease_until=DatabaseClock() + int(lease * 1000),
            )
            if not taken:
                return None
            # While our own update still locks the row: what is spent belongs to the generation that was claimed.
            row = _rows().get(pk=grant.key)
        return Claim(grant=_grant(row), owner=owner, in_doubt=row.in_doubt_since is not None)

    def store(self, claim: Claim, answer: TokenAnswer) -> Grant | None:
        with self._own_commit():
            row = _rows().select_for_update().filter(pk=claim.grant.key).first()
            if row is None or not _waits(row, claim.grant):
                self._discard(claim, answer, row)
                return None
            values = token_values(row, answer, get_app(row.app))
            fenced = _rows().filter(pk=row.pk, generation=row.generation)
            fenced.update(**values, generation=row.generation + 1)
            stored = _rows().get(pk=row.pk)
            if claim.grant.status != Status.ACTIVE:
                record(stored, Kind.RECOVERED, reason=claim.grant.reason)
            notify(signals.refreshed, stored)
        return _grant(stored)

    def _discard(self, claim: Claim, answer: TokenAnswer, row: SalesforceConnection | None) -> None:
        """Sees to an answer that came too late: what was given up or connected anew left a live grant behind."""
        given_up = row is None or row.status == Status.DISCONNECTED
        # Else another refresh of the same grant has won, and revoking this token would end them all.
        replaced = row is not None and row.connected_at != claim.grant.connected_at
        if (given_up or replaced) and answer.refresh_token:
            PendingRevocation.objects.create(
                token=answer.refresh_token,
                reason="came_late",
                app=claim.grant.app,
                login_url=claim.grant.login_url,
                connection_uuid=claim.grant.uuid,
                organization_id=claim.grant.organization_id,
            )

    def fail(self, claim: Claim, verdict: Verdict) -> bool:
        grant = claim.grant
        now = timezone.now()
        values: dict[str, Any] = {
            "lease_owner": None,
            "lease_until": None,
            "in_doubt_since": now if verdict.in_doubt else None,
            "backoff_step": F("backoff_step") + 1,
            "failure_count": F("failure_count") + int(verdict.counts),
            "retry_at": None if verdict.retry_in is None else now + timedelta(seconds=verdict.retry_in),
        }
        if verdict.status is not None:
            # The sweep probes a blocked connection when its back-off ends; a dead one waits for its user.
            values |= {"status": verdict.status, "reason": verdict.reason, "next_refresh_at": values["retry_at"]}
        with self._own_commit():
            mine = bool(_rows().filter(pk=grant.key, lease_owner=claim.owner).update(**values))
            if mine:
                _tell(_rows().get(pk=grant.key), grant, verdict)
        return mine

    def let_go(self) -> None:
        if not self.inline():
            with suppress(Error):  # it may be broken already
                connections.close_all()  # those of this thread; receivers of signals may have opened others

    @contextmanager
    def _own_commit(self) -> Iterator[None]:
        """A short transaction whose waits for locks are bounded."""
        connection = connections[_alias()]
        with transaction.atomic(using=_alias()):
            if not self.inline():
                _bound_lock_waits(connection)
            yield


def _waits(row: SalesforceConnection, claimed: Grant) -> bool:
    """Whether the row still needs the answer to a claim.

    A generation that moved on under the same refresh token (an access token was assigned) has not replaced what
    was spent: to throw the answer away would be to lose the connection.
    """
    return row.generation == claimed.generation or row.refresh_token == claimed.refresh_token


def _bound_lock_waits(connection: Any) -> None:
    statement = {
        "postgresql": f"SET LOCAL lock_timeout = '{LOCK_WAIT}s'",
        "mysql": f"SET SESSION innodb_lock_wait_timeout = {LOCK_WAIT}",
    }.get(connection.vendor)
    if statement:  # SQLite has its own bounded wait: the `timeout` of its OPTIONS, 5 s by default
        with connection.cursor() as cursor:
            cursor.execute(statement)


def _alias() -> str:
    return router.db_for_write(SalesforceConnection)


def _rows() -> Rows:
    return SalesforceConnection._base_manager.using(_alias())


def _grant(row: SalesforceConnection) -> Grant:
    wait = (row.retry_at - timezone.now()).total_seconds() if row.retry_at else 0.0
    return Grant(
        key=row.pk,
        uuid=row.uuid,
        app=row.app,
        login_url=row.login_url,
        organization_id=row.organization_id,
        connected_at=row.connected_at,
        instance_url=row.instance_url,
        generation=row.generation,
        status=row.status,
        reason=row.reason,
        access_token=row.access_token,
        refresh_token=row.refresh_token,
        expires_at=row.expires_at,
        retry_in=max(0.0, wait),
        failure_count=row.failure_count,
        backoff_step=row.backoff_step,
    )


def token_values(row: SalesforceConnection, answer: TokenAnswer, app: AppSettings) -> dict[str, Any]:
    """The columns that a token answer sets; what it does not mention stays as it is."""
    now = timezone.now()
    expires_at = now + _lifetime(answer, app, now.timestamp())
    values: dict[str, Any] = {
        "access_token": sealed_field(row, "access_token").ciphertext(row.uuid, answer.access_token),
        "issued_at": _issued_at(answer, now),
        "expires_at": expires_at,
        "last_refreshed_at": now,
        "next_refresh_at": next_refresh_at(
            uuid=row.uuid,
            now=now,
            expires_at=expires_at,
            last_used_at=row.last_used_at,
            heartbeat=app.heartbeat,
        ),
        "status": Status.ACTIVE,
        "reason": "",
        "failure_count": 0,
        "backoff_step": 0,
        "retry_at": None,
        "lease_owner": None,
        "lease_until": None,
        "in_doubt_since": None,
    }
    if answer.refresh_token:
        values["refresh_token"] = sealed_field(row, "refresh_token").ciphertext(row.uuid, answer.refresh_token)
    if answer.instance_url and is_usable_instance(answer.instance_url, app):
        values["instance_url"] = answer.instance_url
    return values


def is_usable_instance(url: str, app: AppSettings) -> bool:
    """Whether tokens may be sent there, and the column holds it: neither is worth the tokens that came with it."""
    return len(url) <= LONGEST_URL and is_trusted_url(url, app.trusted_hosts)


def _issued_at(answer: TokenAnswer, now: datetime) -> datetime:
    """By Salesforce's clock, which sends milliseconds; by ours when it says nothing, or nothing sensible."""
    if answer.issued_at_ms is None:
        return now
    return datetime.fromtimestamp(answer.issued_at_ms / 1000, tz=now.tzinfo)


def _lifetime(answer: TokenAnswer, app: AppSettings, now: float) -> timedelta:
    """Salesforce sends no ``expires_in``; a JWT says it itself, an opaque token lives as long as a session."""
    if answer.expires_in is not None:
        return timedelta(seconds=answer.expires_in)
    if expiry := jwt_expiry(answer.access_token):
        return timedelta(seconds=max(0.0, expiry - now))
    return app.session_lifetime


def _tell(row: SalesforceConnection, before: Grant, verdict: Verdict) -> None:
    """Events for changes of state, signals for these and for every failure."""
    if verdict.status is not None and (before.status, before.reason) != (row.status, row.reason):
        record(row, Kind(verdict.status.value), reason=verdict.reason)
    elif verdict.kind == "misconfigured":
        notify(signals.app_misconfigured, row, reason=verdict.reason, app=row.app)
    notify(signals.refresh_failed, row, reason=verdict.reason)


store = RowStore()
engine = Engine(store, Refresher(store=store))
