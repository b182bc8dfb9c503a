"""Ending many grants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_sf_oauth.exceptions import SalesforceOAuthError
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import (
    ConnectionEvent,
    PendingRevocation,
    SalesforceConnection,
    disconnect,
    mass_disconnect,
)
from django_sf_oauth.models.queryset import SalesforceConnectionQuerySet
from django_sf_oauth.protocol.errors import Refusal
from django_sf_oauth.services import outbox, revoking
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection, make_user
from tests.fleet import connect_many, connect_one

pytestmark = pytest.mark.django_db


def revocation(**values: Any) -> PendingRevocation:
    connection = make_connection()
    facts = {
        "token": "5Aep861pending",
        "app": connection.app,
        "login_url": connection.login_url,
        "connection_uuid": connection.uuid,
        "organization_id": connection.organization_id,
    }
    return PendingRevocation.objects.create(**{**facts, **values})


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "AT_ONCE", 1)


def requests_made(fake: FakeSalesforce) -> Callable[[], float]:
    """A clock that goes on by a second with each request from now on."""
    before = len(fake.requests)
    return lambda: float(len(fake.requests) - before)


def named(rows: Sequence[SalesforceConnection]) -> SalesforceConnectionQuerySet:
    return SalesforceConnection.objects.filter(pk__in=[row.pk for row in rows])


def test_disconnecting_many_revokes_each_at_salesforce(fake_salesforce: FakeSalesforce) -> None:
    rows = connect_many(fake_salesforce, 3)

    counts = revoking.revoke_connections(named(rows))

    assert counts == {"revoked": 3}
    assert list(fake_salesforce.world.live_approvals()) == []
    assert {row.status for row in SalesforceConnection.objects.all()} == {Status.DISCONNECTED}
    assert not PendingRevocation.objects.exists()


def test_the_audit_names_who_asked_for_it(fake_salesforce: FakeSalesforce) -> None:
    operator = make_user()
    connection = connect_one(fake_salesforce)

    revoking.revoke_connections(named([connection]), actor=operator)

    event = connection.events.get(kind=ConnectionEvent.Kind.DISCONNECTED)
    assert event.actor == operator


def test_disconnecting_again_finds_nothing_to_do(fake_salesforce: FakeSalesforce) -> None:
    rows = connect_many(fake_salesforce, 2)
    revoking.revoke_connections(named(rows))

    assert revoking.revoke_connections(named(rows)) == {}
    assert ConnectionEvent.objects.filter(kind="disconnected").count() == 2
    assert ConnectionEvent.objects.filter(kind="revoked").count() == 2


def test_what_salesforce_does_not_confirm_is_unusable_here_and_asked_for_again(
    fake_salesforce: FakeSalesforce,
) -> None:
    connection = connect_one(fake_salesforce)
    fake_salesforce.maintenance = True

    first = revoking.revoke_connections(named([connection]))
    fake_salesforce.maintenance = False
    PendingRevocation.objects.update(next_attempt_at=timezone.now())
    later = revoking.revoke_pending()

    connection.refresh_from_db()
    assert (first, later) == ({"pending": 1}, {"revoked": 1})
    assert connection.access_token is None
    assert list(fake_salesforce.world.live_approvals()) == []


def test_one_that_cannot_be_disconnected_stops_no_other(
    fake_salesforce: FakeSalesforce, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = connect_many(fake_salesforce, 2)
    noted = disconnect.revocation_of

    def fail_for_one(connection: SalesforceConnection, *, reason: str) -> PendingRevocation | None:
        if connection.pk == bad.pk:
            raise SalesforceOAuthError("quotes 5Aep861something")
        return noted(connection, reason=reason)

    monkeypatch.setattr(disconnect, "revocation_of", fail_for_one)
    monkeypatch.setattr(mass_disconnect, "revocation_of", fail_for_one)

    counts = revoking.revoke_connections(named([bad, good]))

    assert counts == {"failed": 1, "revoked": 1}
    assert f"connection={bad.uuid} error=SalesforceOAuthError" in caplog.text
    assert "5Aep861" not in caplog.text


def test_all_are_unusable_here_before_salesforce_is_asked_within_the_budget(
    fake_salesforce: FakeSalesforce, one_by_one: None
) -> None:
    rows = connect_many(fake_salesforce, 4)

    first = revoking.revoke_connections(named(rows), budget=2.0, monotonic=requests_made(fake_salesforce))

    assert first == {"revoked": 2, "pending": 2}
    assert not SalesforceConnection.objects.connected().exists()
    assert revoking.revoke_connections(named(rows)) == {"revoked": 2}


def test_only_revocations_that_are_due_are_asked_for(fake_salesforce: FakeSalesforce) -> None:
    revocation()
    waiting = revocation(next_attempt_at=timezone.now() + timedelta(minutes=5))

    counts = revoking.revoke_pending()

    assert counts == {"revoked": 1}
    assert list(PendingRevocation.objects.all()) == [waiting]


def test_a_revocation_that_fails_waits_longer_each_time(fake_salesforce: FakeSalesforce) -> None:
    fake_salesforce.maintenance = True
    pending = revocation()

    counts = revoking.revoke_pending()

    pending.refresh_from_db()
    assert counts == {"pending": 1}
    assert pending.attempts == 1


def test_two_runs_at_once_ask_for_each_revocation_once(
    fake_salesforce: FakeSalesforce, one_by_one: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    revocation()
    revocation()
    nested: list[Counter[str]] = []
    settle = disconnect.settle

    def during(confirmed: Sequence[PendingRevocation]) -> None:
        if not nested:
            nested.append(Counter())
            nested.append(revoking.revoke_pending())
        settle(confirmed)

    monkeypatch.setattr(outbox, "settle", during)

    counts = revoking.revoke_pending()

    assert (counts, nested[1]) == ({"revoked": 2}, {})
    assert [exchange.path for exchange in fake_salesforce.requests] == ["/services/oauth2/revoke"] * 2


def test_a_confirmation_that_two_runs_heard_is_one_event(fake_salesforce: FakeSalesforce) -> None:
    pending = revocation()

    disconnect.settle([pending])
    disconnect.settle([pending])

    assert ConnectionEvent.objects.filter(kind="revoked").count() == 1


def test_one_revocation_that_breaks_stops_no_other(
    fake_salesforce: FakeSalesforce, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad, _good = revocation(), revocation()
    ask = disconnect.ask_to_revoke

    def fail_for_one(pending: PendingRevocation) -> Refusal | None:
        if pending.pk == bad.pk:
            raise RuntimeError("quotes 5Aep861something")
        return ask(pending)

    monkeypatch.setattr(outbox, "ask_to_revoke", fail_for_one)

    assert revoking.revoke_pending() == {"failed": 1, "revoked": 1}
    assert f"connection={bad.connection_uuid} error=RuntimeError" in caplog.text
    assert "5Aep861" not in caplog.text


def test_a_run_ends_at_its_limit_and_when_its_budget_is_spent(
    fake_salesforce: FakeSalesforce, one_by_one: None
) -> None:
    for _ in range(6):
        revocation()

    limited = revoking.revoke_pending(limit=2)
    in_time = revoking.revoke_pending(budget=2.0, monotonic=requests_made(fake_salesforce))

    assert (limited, in_time) == ({"revoked": 2}, {"revoked": 2})
    assert PendingRevocation.objects.count() == 2
