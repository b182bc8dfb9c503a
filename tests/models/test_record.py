from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from django_sf_oauth import signals
from django_sf_oauth.models import ConnectionEvent, SalesforceConnection
from django_sf_oauth.models.record import SIGNALS, notify, record, record_failure
from tests.factories import make_connection, make_user

pytestmark = pytest.mark.django_db(transaction=True)

Kind = ConnectionEvent.Kind


@pytest.fixture
def row() -> SalesforceConnection:
    return make_connection()


@pytest.fixture
def told() -> Iterator[list[dict[str, Any]]]:
    """What the receivers of every signal were told, in order."""
    told: list[dict[str, Any]] = []

    def hear(**kwargs: Any) -> None:
        told.append(kwargs)

    every = [getattr(signals, name) for name in signals.__all__]
    for signal in every:
        signal.connect(hear)
    yield told
    for signal in every:
        signal.disconnect(hear)


def test_an_event_is_written_and_its_signal_sent(row: SalesforceConnection, told: list[dict[str, Any]]) -> None:
    actor = make_user()

    record(row, Kind.RECONNECT_REQUIRED, reason="revoked", actor=actor)

    event = ConnectionEvent.objects.get()
    assert (event.kind, event.reason, event.actor, event.user) == (
        Kind.RECONNECT_REQUIRED,
        "revoked",
        actor,
        row.user,
    )
    assert (event.connection, event.connection_uuid, event.app) == (row, row.uuid, row.app)
    assert (event.organization_id, event.salesforce_user_id, event.username) == (
        row.organization_id,
        row.salesforce_user_id,
        row.username,
    )
    (one,) = told
    assert (one["signal"], one["sender"], one["connection"]) == (
        signals.reconnect_required,
        SalesforceConnection,
        row,
    )
    assert one["reason"] == "revoked"


def test_a_signal_carries_no_empty_reason(row: SalesforceConnection, told: list[dict[str, Any]]) -> None:
    record(row, Kind.CONNECTED)

    assert [sorted(one) for one in told] == [["connection", "sender", "signal"]]


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in SIGNALS])
def test_some_events_are_for_the_audit_alone(
    row: SalesforceConnection, told: list[dict[str, Any]], kind: ConnectionEvent.Kind
) -> None:
    record(row, kind)

    assert ConnectionEvent.objects.get().kind == kind
    assert told == []


def test_a_signal_is_sent_after_the_commit(row: SalesforceConnection, told: list[dict[str, Any]]) -> None:
    with transaction.atomic():
        record(row, Kind.CONNECTED)
        assert told == []

    assert len(told) == 1


def test_what_is_rolled_back_is_not_told(row: SalesforceConnection, told: list[dict[str, Any]]) -> None:
    with transaction.atomic():
        record(row, Kind.CONNECTED)
        transaction.set_rollback(True)

    assert told == []
    assert not ConnectionEvent.objects.exists()


def test_a_receiver_that_fails_disturbs_nobody(
    row: SalesforceConnection, told: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**kwargs: Any) -> None:
        raise LookupError

    signals.connected.connect(fail)
    record(row, Kind.CONNECTED)
    signals.connected.disconnect(fail)

    assert ConnectionEvent.objects.exists()
    assert len(told) == 1
    assert [one.levelname for one in caplog.records] == ["ERROR"]


def test_no_token_is_in_an_event_or_a_signal(row: SalesforceConnection, told: list[dict[str, Any]]) -> None:
    row.access_token = "00D000000000001!planted"

    record(row, Kind.RECONNECT_REQUIRED, reason="revoked")

    assert "planted" not in f"{told} {ConnectionEvent.objects.values()[0]}"


def test_a_deletion_names_the_connection_by_its_uuid_alone(row: SalesforceConnection) -> None:
    record(row, Kind.DELETED, user_stays=False)

    event = ConnectionEvent.objects.get()
    assert (event.connection, event.user, event.connection_uuid) == (None, None, row.uuid)


def test_a_failed_attempt_is_written_with_or_without_a_connection(row: SalesforceConnection) -> None:
    record_failure(row.user, app="other", reason="state_unknown")
    record_failure(row.user, app="default", reason="missing_scopes", connection=row)

    renewed, fresh = ConnectionEvent.objects.all()
    assert (fresh.kind, fresh.reason, fresh.user, fresh.actor, fresh.app, fresh.connection) == (
        Kind.CONNECT_FAILED,
        "state_unknown",
        row.user,
        row.user,
        "other",
        None,
    )
    assert (renewed.kind, renewed.reason, renewed.connection) == (Kind.CONNECT_FAILED, "missing_scopes", row)


def test_a_signal_without_an_event_can_be_sent(row: SalesforceConnection, told: list[dict[str, Any]]) -> None:
    notify(signals.refreshed, row)

    assert [one["signal"] for one in told] == [signals.refreshed]
    assert not ConnectionEvent.objects.exists()
