"""The rows as the engine sees them: leases on the database's clock, writes fenced by the generation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

from django.db import connections, models, router, transaction
from django.db.models import F
from django.utils import timezone

from django_sf_oauth import signals
from django_sf_oauth.conf import get_app
from django_sf_oauth.grants.contract import Claim, Gate, Grant, Status, Verdict
from django_sf_oauth.grants.engine import Engine
from django_sf_oauth.grants.refresh import Refresher
from django_sf_oauth.protocol.tokens import TokenAnswer

from . import app_blocks, fleet_guard, holds
from .columns import Ahead
from .connection import SalesforceConnection
from .event import ConnectionEvent
from .group_commit import GroupCommit
from .own_connections import OwnConnections
from .readings import read, reading, renewed
from .record import notify, record
from .revocation import PendingRevocation
from .suspicion import note, oddities
from .test_case import open_test_case
from .token_values import token_values
from .update_row import LOCK_WAIT, RowUpdate, bound_lock_waits, update_row
from .update_rows import update_rows

__all__ = ["RowStore", "engine"]

# Whoever did anything to a row since it was read has left one of these marks: what is spent is what was read.
MARKS = (
    "generation",
    "lease_owner",
    "retry_at",
    "status",
    "withheld",
    "in_doubt_since",
    "told_lifetime",
    "learned_lifetime",
)

# Whoever did anything while Salesforce was asked has left one of these: who claims an expired lease notes a doubt.
# The owner of the lease would tell the same, of each row by itself, and cost a twentieth of what can be stored.
MARKS_OF_OTHERS = ("generation", "status", "withheld", "in_doubt_since")

OPENING = 0.03  # seconds that it takes about to open a database connection, where Django has no pool of them

FOREIGN_ORG = "foreign_org"  # reason of an answer with the tokens of another org, which was refused

Rows = models.QuerySet[SalesforceConnection]
Kind = ConnectionEvent.Kind


class RowStore:
    """Implements `GrantStore` on `SalesforceConnection`."""

    def inline(self) -> bool:
        return open_test_case(_alias()) is not None

    def _enter(self) -> None:
        """Before this thread uses a connection of its own."""
        if not self.inline():
            own_connections.take()

    def read(self, key: int) -> Grant | None:
        self._enter()
        return read(_alias(), key)

    def gate(self, grant: Grant, *, forced: bool) -> Gate:
        self._enter()
        return holds.gate(grant, forced=forced)

    def hold_host(self, grant: Grant) -> None:
        self._enter()
        holds.hold_host(grant)

    def lift(self, scopes: tuple[str, ...]) -> None:
        self._enter()
        holds.end_tested(scopes)

    def claim_at_once(self, grant: Grant, *, lease: float, urgent: bool = False) -> Claim | None:
        update = partial(commits.update, enter=own_connections.take_if_free) if urgent else commits.update
        return _claimed(grant, lease, update, unless_held=holds.scopes_against(grant))

    def claim(self, grant: Grant, *, lease: float) -> Claim | None:
        if grant.lease_left is not None and grant.lease_left > 0:
            return None
        return _claimed(grant, lease, self._claim_alone)

    def _claim_alone(self, update: RowUpdate) -> bool:
        if self.inline():
            return update_row(_alias(), update)
        with self._own_commit():
            return update_row(_alias(), update)

    def store(self, claim: Claim, answer: TokenAnswer, *, took: float = 0.0) -> Grant | None:
        grant = claim.grant
        if grant.status == Status.ACTIVE and not grant.withheld:
            values = token_values(grant, answer, get_app(grant.app)) | {"generation": grant.generation + 1}
            fence = {name: getattr(grant, name) for name in MARKS_OF_OTHERS}
            if self._update(RowUpdate(pk=grant.key, values=values, fence=fence)):
                if signals.refreshed.has_listeners(SalesforceConnection):
                    self._enter()
                    _announce(grant.key, took)
                self._look_into(grant, answer)
                return renewed(grant, values)
        return self._store_with_care(claim, answer, took)

    def _look_into(self, before: Grant, answer: TokenAnswer) -> None:
        if reasons := oddities(before, answer):
            self._enter()
            note(before, *reasons)

    def _update(self, update: RowUpdate) -> bool:
        """Together with others where that goes, else alone.

        Then it waits for whoever holds the row, or the table, as long as the database lets it: it has a token in
        hand, which nobody else can store.
        """
        if not self.inline() and commits.update(update):
            return True
        self._enter()
        return update_row(_alias(), update)

    def _store_with_care(self, claim: Claim, answer: TokenAnswer, took: float) -> Grant | None:
        """For a connection that recovers, or whose row has changed while Salesforce was asked."""
        with self._own_commit():
            row = _for_update(_rows()).filter(pk=claim.grant.key).first()
            if row is None or not _waits(row, claim.grant):
                self._discard(claim, answer, row)
                return None
            values = token_values(row, answer, get_app(row.app))
            if _others_may_have_asked(row, claim):
                values["in_doubt_since"] = row.in_doubt_since or timezone.now()
            _rows().filter(pk=row.pk).update(**values, generation=row.generation + 1)
            stored = _rows().get(pk=row.pk)
            if row.status != Status.ACTIVE or row.withheld:
                record(stored, Kind.RECOVERED, reason=row.reason or row.withheld)
            notify(signals.refreshed, stored, seconds=took)
        self._look_into(reading(row), answer)
        return reading(stored)

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

    def fail(self, claim: Claim, verdict: Verdict, *, took: float = 0.0) -> Verdict | None:
        grant = claim.grant
        fence = {"lease_owner": claim.owner, "login_url": grant.login_url}
        with self._own_commit():
            row = _for_update(_rows()).filter(pk=grant.key, **fence).first()
            if row is None:
                return None
            if verdict.kind == "dead":
                verdict = fleet_guard.weigh(row, verdict)
            elif verdict.kind == "blocked":
                verdict = app_blocks.weigh_block(row, claim, verdict)
            _rows().filter(pk=row.pk).update(**_values_of(verdict))
            failed = _rows().get(pk=row.pk)
            _tell(failed, grant, verdict, took)
        if verdict.reason == FOREIGN_ORG:
            note(grant, "org_changed")
        if verdict.kind == "dead" and not row.withheld:  # what was withheld before has been weighed already
            fleet_guard.consider(failed)
        if verdict.reason == app_blocks.APP_BLOCKED:
            app_blocks.consider_block(failed)
        return verdict

    def keeps_for(self) -> float:
        return 0.0 if connections[_alias()].settings_dict["OPTIONS"].get("pool") else OPENING

    def let_go(self) -> None:
        if own_connections.in_use and not self.inline():
            own_connections.close()

    @contextmanager
    def _own_commit(self) -> Iterator[None]:
        """A short transaction whose waits for locks are bounded."""
        self._enter()
        with transaction.atomic(using=_alias()):
            if not self.inline():
                bound_lock_waits(connections[_alias()], LOCK_WAIT)
            yield


def _claimed(
    grant: Grant, lease: float, update: Callable[[RowUpdate], bool], *, unless_held: tuple[str, ...] = ()
) -> Claim | None:
    owner = uuid4()
    values: dict[str, Any] = {"lease_owner": owner, "lease_until": Ahead(int(lease * 1000))}
    if grant.lease_owner is not None:
        values["in_doubt_since"] = grant.in_doubt_since or timezone.now()
    fence = {name: getattr(grant, name) for name in MARKS}
    if not update(RowUpdate(pk=grant.key, values=values, fence=fence, unless_held=unless_held)):
        return None
    return Claim(grant=grant, owner=owner, in_doubt=grant.in_doubt)


def _values_of(verdict: Verdict) -> dict[str, Any]:
    """The columns that a verdict sets."""
    now = timezone.now()
    values: dict[str, Any] = {
        "lease_owner": None,
        "lease_until": None,
        "in_doubt_since": now if verdict.in_doubt else None,
        "backoff_step": F("backoff_step") + int(verdict.backs_off),
        "failure_count": F("failure_count") + int(verdict.counts),
        "retry_at": None if verdict.retry_in is None else now + timedelta(seconds=verdict.retry_in),
    }
    if verdict.withheld:
        values |= {"withheld": verdict.withheld, "next_refresh_at": now + fleet_guard.LASTS}
    elif verdict.status is not None:
        # The sweep probes a blocked connection when its back-off ends; a dead one waits for its user.
        values |= {"status": verdict.status, "reason": verdict.reason, "next_refresh_at": values["retry_at"]}
        values["claimed_until"] = None  # what is due at that time may be claimed then
        values["withheld"] = ""  # a failure that passes says nothing of what is withheld
    return values


def _waits(row: SalesforceConnection, claimed: Grant) -> bool:
    """Whether the row still needs the answer to a claim.

    A generation that moved on under the same refresh token (an access token was assigned) has not replaced what
    was spent: to throw the answer away would be to lose the connection.
    """
    if row.generation == claimed.generation:
        return True
    return row.refresh_token is not None and row.refresh_token.opens_like(claimed.refresh_token)


def _others_may_have_asked(row: SalesforceConnection, claim: Claim) -> bool:
    """Whether somebody spent the same refresh token while this answer waited to be stored, past its lease.

    It may have ended the grant then, and is what a later refusal has to be put down to. Who got an answer has
    moved the generation on, and shows that it had not, unless somebody was refused after that.
    """
    if row.generation == claim.grant.generation:
        return row.lease_owner != claim.owner  # theirs, or given back with a verdict
    was_refused = row.status != Status.ACTIVE or row.retry_at is not None or bool(row.withheld)
    return row.lease_owner not in (None, claim.owner) or was_refused


def _alias() -> str:
    return router.db_for_write(SalesforceConnection)


def _rows() -> Rows:
    return SalesforceConnection._base_manager.using(_alias())


def _for_update(rows: Rows) -> Rows:
    """Locked, where that goes beside a caller's transaction that has written something which refers to the row."""
    return rows.select_for_update(no_key=connections[_alias()].features.has_select_for_no_key_update)


def _announce(key: int, took: float) -> None:
    row = _rows().filter(pk=key).first()
    if row is not None:  # nobody has deleted it in that moment
        notify(signals.refreshed, row, seconds=took)


def _tell(row: SalesforceConnection, before: Grant, verdict: Verdict, took: float) -> None:
    """Events for changes of state, signals for these and for every failure."""
    if verdict.status is not None and (before.status, before.reason) != (row.status, row.reason):
        record(row, Kind(verdict.status.value), reason=verdict.reason)
    elif verdict.kind == "misconfigured" and holds.alarm_is_new(row.app, verdict.reason):
        notify(signals.app_misconfigured, row, reason=verdict.reason, app=row.app)
    first = before.backoff_step == 0
    notify(signals.refresh_failed, row, kind=verdict.kind, reason=verdict.reason, first=first, seconds=took)


def _commit(updates: Sequence[RowUpdate]) -> set[int]:
    return update_rows(_alias(), updates)


commits = GroupCommit(_commit)
own_connections = OwnConnections()
store = RowStore()
engine = Engine(store, Refresher(store=store))
