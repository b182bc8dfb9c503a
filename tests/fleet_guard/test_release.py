"""How the fleet guard ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from django_sf_oauth import signals
from django_sf_oauth.conf import get_app
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import Hold, SalesforceConnection, fleet_guard
from django_sf_oauth.models.record import record_all
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection
from tests.fleet_guard.conftest import COUNT, FLAGGED, WELL, WITHHELD, Clock, Kind, events, fare, states

pytestmark = pytest.mark.django_db

committed = pytest.mark.django_db(transaction=True)


@committed
def test_the_operators_release_flags_each_once(
    tripped: list[SalesforceConnection], clock: Clock, alarms: list[str]
) -> None:
    told: list[Any] = []

    def hear(connection: SalesforceConnection, reason: str, **kwargs: Any) -> None:
        told.append((connection.pk, reason))

    for row in tripped[COUNT:]:
        fare(row)
    SalesforceConnection.objects.filter(pk=tripped[0].pk).update(withheld="", status=Status.ACTIVE)  # reconnected
    signals.reconnect_required.connect(hear)

    flagged = [fleet_guard.release(get_app()) for _ in range(2)]

    signals.reconnect_required.disconnect(hear)
    assert flagged == [len(tripped) - 1, 0]
    assert sorted(told) == [(row.pk, "revoked") for row in tripped[1:]]
    assert states() == {FLAGGED: len(tripped) - 1, WELL: 1}
    assert events()[Kind.RECONNECT_REQUIRED] == COUNT + len(tripped) - 1
    assert alarms == []


@committed
def test_a_release_that_was_killed_half_way_can_be_repeated(
    tripped: list[SalesforceConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in tripped[COUNT:]:
        fare(row)
    monkeypatch.setattr(fleet_guard, "BATCH", 2)
    batches = 0

    def killed_in_the_second(*args: Any) -> None:
        nonlocal batches
        batches += 1
        record_all(*args)
        if batches == 2:
            raise SystemExit

    monkeypatch.setattr(fleet_guard, "record_all", killed_in_the_second)
    with pytest.raises(SystemExit):
        fleet_guard.release(get_app())
    half_way = states()
    monkeypatch.setattr(fleet_guard, "record_all", record_all)

    rest = fleet_guard.release(get_app())

    assert half_way == {FLAGGED: 2, WITHHELD: 4}
    assert rest == 4
    assert states() == {FLAGGED: 6}
    assert events()[Kind.RECONNECT_REQUIRED] == COUNT + 6


def test_after_a_release_verdicts_are_believed_and_it_does_not_trip_again(
    tripped: list[SalesforceConnection], clock: Clock
) -> None:
    fleet_guard.release(get_app())

    assert [fare(row) for row in tripped[COUNT:]] == ["revoked"] * 3
    assert states() == {FLAGGED: len(tripped)}
    hold = Hold.objects.get()
    assert (hold.scope, hold.reason, hold.probe_at) == ("fleet:default", "released", None)
    assert hold.until
    assert timedelta(days=6) < hold.until - clock.now() <= get_app().heartbeat


def test_a_verdict_withheld_while_it_was_being_released_is_asked_for_again(
    tripped: list[SalesforceConnection],
) -> None:
    fleet_guard.release(get_app())
    late = SalesforceConnection.objects.filter(pk=tripped[0].pk)
    late.update(status=Status.ACTIVE, reason="", withheld="revoked")

    assert fare(tripped[0]) == "revoked"
    assert states()[FLAGGED] == COUNT


def test_a_day_later_what_is_refused_is_believed_and_does_not_trip_it_again(
    tripped: list[SalesforceConnection], clock: Clock
) -> None:
    clock.ahead += fleet_guard.LASTS

    assert [fare(row) for row in tripped] == ["revoked"] * len(tripped)
    assert states() == {FLAGGED: len(tripped)}


def test_another_day_later_it_guards_again(tripped: list[SalesforceConnection], clock: Clock) -> None:
    clock.ahead += 2 * fleet_guard.LASTS

    for row in tripped[COUNT:]:
        fare(row)

    assert states()[WITHHELD] == len(tripped)


def test_a_connection_that_is_given_up_meanwhile_is_not_flagged_by_a_release(
    tripped: list[SalesforceConnection],
) -> None:
    SalesforceConnection.objects.get(pk=tripped[0].pk).disconnect()

    assert fleet_guard.release(get_app()) == COUNT - 1
    assert states()[Status.DISCONNECTED, "", ""] == 1


def test_a_guard_that_was_deleted_is_ended_and_each_is_asked_for_again(
    fake_salesforce: FakeSalesforce, tripped: list[SalesforceConnection]
) -> None:
    revived = tripped[0]
    for approval in fake_salesforce.world.approvals:
        approval.revoked = approval.user.username != revived.username

    Hold.objects.all().delete()

    assert [fare(row) for row in tripped[:COUNT]] == ["ok", "revoked", "revoked"]


def test_a_death_that_is_one_of_few_costs_few_queries(django_assert_max_num_queries: Any) -> None:
    row = make_connection(status=Status.RECONNECT_REQUIRED)

    with django_assert_max_num_queries(3):
        fleet_guard.consider(row)
