"""Each way to falsify the audit trail, named after the attack; and what is no attack and has to verify."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.utils import timezone

from django_sf_oauth.models import AuditChain, ConnectionEvent, SalesforceConnection
from django_sf_oauth.models.record import record, record_all, record_failure
from tests.audit.tampering import (
    Kind,
    chain_of,
    change,
    events_of,
    found,
    remove,
    row_with_history,
    wrongs,
)
from tests.factories import make_connection, make_user

pytestmark = pytest.mark.django_db

CHANGES = {
    "kind": "connected",
    "reason": "nothing happened",
    "created_at": timezone.now() - timedelta(days=30),
    "app": "other",
    "organization_id": "00D000000000002EAA",
    "salesforce_user_id": "005MalloryMallory1",
    "username": "mallory@example.com",
    "user_key": "7",
    "actor_key": "7",
    "fingerprint": "00000000:00000000000000000000000000000000",
    "sequence": 99,
    "mac": "00000000:0000",
}


@pytest.fixture
def row() -> SalesforceConnection:
    return row_with_history(make_connection())


def test_a_history_that_nobody_touched_holds(row: SalesforceConnection) -> None:
    assert found() == ([], {"hold": 5})
    assert [event.sequence for event in events_of(row)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_event_is_found(row: SalesforceConnection, name: str) -> None:
    change(events_of(row)[2], **{name: CHANGES[name]})

    assert {"changed", "unknown_key"} & {what for what, _ in wrongs()}


def test_every_column_of_an_event_is_signed_or_is_a_reference() -> None:
    references = {"id", "connection", "connection_uuid", "user", "actor"}

    assert {field.name for field in ConnectionEvent._meta.concrete_fields} - references == set(CHANGES)


def test_a_deleted_event_is_missed(row: SalesforceConnection) -> None:
    remove(events_of(row)[2])

    assert wrongs() == [("missing", "3")]


def test_deleted_events_are_named_as_ranges(row: SalesforceConnection) -> None:
    remove(*events_of(row)[:2], events_of(row)[3])

    assert wrongs() == [("missing", "1-2"), ("missing", "4")]


def test_the_newest_events_are_missed_too(row: SalesforceConnection) -> None:
    remove(*events_of(row)[3:])

    assert wrongs() == [("missing", "4-5")]


def test_a_whole_history_is_missed(row: SalesforceConnection) -> None:
    remove(*events_of(row))

    assert wrongs() == [("missing", "1-5")]


def test_an_event_copied_to_another_connection_is_found(row: SalesforceConnection) -> None:
    other, copy = make_connection(), events_of(row)[0]
    record(other, Kind.BLOCKED)
    change(events_of(other)[0], **{name: getattr(copy, name) for name in CHANGES if name != "sequence"})

    assert wrongs() == [("changed", "1")]


def test_an_event_moved_to_another_connection_is_found_and_missed(row: SalesforceConnection) -> None:
    other = make_connection()
    record(other, Kind.CONNECTED)
    change(events_of(row)[1], connection_uuid=other.uuid, connection=other)

    assert sorted(wrongs()) == [("changed", "2"), ("extra", "2"), ("missing", "2")]


def test_an_event_that_is_shown_at_another_connection_is_found(row: SalesforceConnection) -> None:
    change(events_of(row)[1], connection=make_connection())

    assert wrongs() == [("relinked", "2")]


@pytest.mark.parametrize("name", ["user", "actor"])
def test_an_event_that_blames_somebody_else_is_found(name: str) -> None:
    row = make_connection()
    record(row, Kind.DISCONNECTED, actor=row.user)
    change(events_of(row)[0], **{name: make_user()})

    assert wrongs() == [("changed", "1")]


def test_a_reordered_history_is_found(row: SalesforceConnection) -> None:
    second, third = events_of(row)[1:3]
    change(second, sequence=99)
    change(third, sequence=2)
    change(second, sequence=3)

    assert wrongs() == [("changed", "3"), ("changed", "2")]


def test_an_event_that_was_made_up_is_found(row: SalesforceConnection) -> None:
    last = events_of(row)[-1]
    events: QuerySet[ConnectionEvent] = QuerySet(ConnectionEvent)
    events.bulk_create(
        [ConnectionEvent(kind=Kind.RECOVERED, connection_uuid=row.uuid, app="default", sequence=6, mac=last.mac)]
    )

    assert wrongs() == [("changed", "6"), ("extra", "6")]


@pytest.mark.parametrize("place", range(5))
def test_an_event_cannot_pass_as_one_from_before_signing(row: SalesforceConnection, place: int) -> None:
    change(events_of(row)[place], mac="", sequence=None)

    assert wrongs() == [("unsigned", ""), ("missing", str(place + 1))]


@pytest.mark.parametrize("place", range(5))
def test_to_take_the_mac_away_covers_no_change_up(row: SalesforceConnection, place: int) -> None:
    change(events_of(row)[place], mac="", kind="revoked", reason="forged")

    assert wrongs() == [("unsigned", str(place + 1))]


def test_a_trail_without_a_single_mac_holds_nowhere(row: SalesforceConnection) -> None:
    QuerySet(ConnectionEvent).update(mac="", reason="forged")

    assert wrongs() == [("unsigned", str(number)) for number in range(1, 6)]


def test_an_event_cannot_hide_below_the_first_number(row: SalesforceConnection) -> None:
    event = events_of(row)[2]
    change(event, id=-event.pk, reason="forged")

    assert wrongs() == [("changed", "3")]


def test_an_event_without_a_connection_is_signed_as_well() -> None:
    record_failure(make_user(), app="default", reason="access_denied")
    change(ConnectionEvent.objects.get(), reason="state_unknown")

    assert wrongs() == [("changed", "")]


@pytest.mark.parametrize("values", [{"last": 3}, {"first": 3}, {"mac": ""}], ids=["last", "first", "mac"])
def test_a_changed_chain_is_found(row: SalesforceConnection, values: dict[str, Any]) -> None:
    AuditChain.objects.filter(pk=row.uuid).update(**values)

    assert wrongs() == [("chain_changed", "")]


def test_the_chain_of_another_connection_is_found(row: SalesforceConnection) -> None:
    other = row_with_history(make_connection())
    AuditChain.objects.filter(pk=row.uuid).update(mac=chain_of(other).mac)

    assert wrongs() == [("chain_changed", "")]


def test_a_chain_taken_away_is_found(row: SalesforceConnection) -> None:
    AuditChain.objects.all().delete()

    assert wrongs() == [("chain_changed", "")]


def test_a_chain_that_claims_a_billion_events_costs_no_memory(row: SalesforceConnection) -> None:
    AuditChain.objects.filter(pk=row.uuid).update(last=10**12)

    assert wrongs() == [("chain_changed", "")]


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(lambda rows: rows.update(last=3), id="changed"),
        pytest.param(lambda rows: rows.delete(), id="taken away"),
    ],
)
def test_the_next_event_covers_nothing_up_and_is_written(row: SalesforceConnection, tamper: Any) -> None:
    remove(*events_of(row)[3:])
    tamper(AuditChain.objects.filter(pk=row.uuid))

    record(row, Kind.DISCONNECTED)
    record(row, Kind.RECONNECTED)

    assert events_of(row)[-1].kind == Kind.RECONNECTED
    assert ("chain_changed", "") in wrongs()


def test_an_old_chain_put_back_over_newer_events_is_found(row: SalesforceConnection) -> None:
    old = AuditChain.objects.values("first", "last", "mac").get(pk=row.uuid)
    record(row, Kind.DISCONNECTED)
    AuditChain.objects.filter(pk=row.uuid).update(**old)
    before = wrongs()

    record(row, Kind.RECONNECTED)

    assert before == [("extra", "6")]
    assert [event.sequence for event in events_of(row)] == [1, 2, 3, 4, 5, 6, 7]
    assert wrongs() == [("chain_changed", "")]


def test_a_verifier_of_one_connection_looks_at_its_whole_history(row: SalesforceConnection) -> None:
    other = row_with_history(make_connection())
    remove(events_of(row)[0], events_of(other)[0])
    late = ConnectionEvent.objects.filter(connection_uuid=row.uuid, kind=Kind.RECOVERED)

    wrong, counts = found(late)

    assert [(one.what, one.connection, one.sequence) for one in wrong] == [("missing", row.uuid, "1")]
    assert counts == {"hold": 1, "wrong": 1}


def test_a_chain_says_how_long_it_is(row: SalesforceConnection) -> None:
    assert str(chain_of(row)) == f"{row.uuid} 1-5"


# What is no attack


def test_deleted_people_and_connections_leave_their_events_whole() -> None:
    actor, row = make_user(), make_connection()
    actor_key, user_key = str(actor.pk), str(row.user.pk)
    record(row, Kind.DISCONNECTED, actor=actor)

    actor.delete()
    row.user.delete()

    first, last = events_of(row)
    assert wrongs() == []
    assert (first.actor, first.actor_key, first.user, first.user_key) == (None, actor_key, None, user_key)
    assert (last.kind, last.connection, last.user, last.user_key) == (Kind.DELETED, None, None, user_key)


def test_many_at_once_are_signed_in_order() -> None:
    rows = [make_connection() for _ in range(3)]

    record_all([*rows, *rows], Kind.VERDICT_WITHDRAWN)

    assert [[event.sequence for event in events_of(row)] for row in rows] == [[1, 2]] * 3
    assert found() == ([], {"hold": 6})


@pytest.mark.parametrize("use_tz", [True, False])
def test_an_event_holds_with_and_without_time_zones(settings: Any, use_tz: bool) -> None:
    settings.USE_TZ = use_tz
    settings.TIME_ZONE = "America/New_York"
    moment = timezone.now().replace(year=2026, month=11, day=1, hour=1, minute=30, fold=1)
    ConnectionEvent.objects.create(kind=Kind.CONNECTED, app="default", created_at=moment)

    assert wrongs() == []


def test_an_upsert_cannot_rewrite_an_event(row: SalesforceConnection) -> None:
    event = events_of(row)[0]

    with pytest.raises(TypeError, match="append-only"):
        ConnectionEvent.objects.bulk_create([event], update_conflicts=True, update_fields=["reason"])


def test_a_user_is_known_by_their_key_whatever_its_type() -> None:
    user = get_user_model()(pk=uuid4())

    event = ConnectionEvent(kind=Kind.CONNECTED, app="default", user_id=user.pk.hex).signed()

    assert event.user_key == str(user.pk)
    assert event.holds()
    assert event.created_at.astimezone(UTC).isoformat() in [str(part) for part in event.content()]
