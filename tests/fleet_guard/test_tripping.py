"""Many grants of one app that die at once are the app's trouble, and no user is asked to connect again."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.utils import timezone

from django_sf_oauth.exceptions import TemporarilyUnavailable
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import ConnectionEvent, Hold, SalesforceConnection, fleet_guard, holds
from django_sf_oauth.models.store import engine
from django_sf_oauth.testing import FakeSalesforce
from tests.fleet import connect_many
from tests.fleet_guard.conftest import (
    COUNT,
    FLAGGED,
    MINUTE,
    WELL,
    WITHHELD,
    Clock,
    Kind,
    events,
    fare,
    honour_again,
    set_limits,
    states,
    sweep,
)

pytestmark = pytest.mark.django_db

committed = pytest.mark.django_db(transaction=True)


def test_a_dead_grant_is_believed_at_once_as_long_as_there_are_few(fleet: list[SalesforceConnection]) -> None:
    assert [fare(row) for row in fleet[: COUNT - 1]] == ["revoked"] * (COUNT - 1)
    assert states() == {FLAGGED: COUNT - 1, WELL: 4}
    assert not Hold.objects.exists()


@committed
def test_the_one_too_many_withdraws_the_verdicts_of_the_window_and_tells_the_operator(
    fleet: list[SalesforceConnection], alarms: list[str]
) -> None:
    assert [fare(row) for row in fleet[:COUNT]] == ["revoked"] * COUNT

    assert states() == {WITHHELD: COUNT, WELL: 3}
    assert events() == {Kind.RECONNECT_REQUIRED: COUNT, Kind.VERDICT_WITHDRAWN: COUNT, Kind.SUSPICIOUS: 1}
    withdrawn = ConnectionEvent.objects.filter(kind=Kind.VERDICT_WITHDRAWN)
    assert set(withdrawn.values_list("reason", flat=True)) == {"revoked"}
    assert alarms == ["fleet_guard"]


def test_rotations_that_were_lost_do_not_count(fleet: list[SalesforceConnection]) -> None:
    """Else a worker that is killed amid a batch would look like trouble of the app."""
    SalesforceConnection.objects.update(in_doubt_since=timezone.now())

    assert [fare(row) for row in fleet[: COUNT + 1]] == ["rotation_lost"] * (COUNT + 1)

    assert not Hold.objects.exists()


@committed
def test_later_verdicts_are_withheld_and_nobody_is_told_to_reconnect(
    tripped: list[SalesforceConnection], alarms: list[str]
) -> None:
    before = events()

    assert [fare(row) for row in tripped[COUNT:]] == ["fleet_guard"] * 3

    assert states() == {WITHHELD: len(tripped)}
    assert events() == before
    assert alarms == []


def test_a_connection_that_waits_is_not_asked_for_and_says_when_to_come_again(
    fake_salesforce: FakeSalesforce, tripped: list[SalesforceConnection]
) -> None:
    asked = fake_salesforce.token_requests
    row = SalesforceConnection.objects.get(pk=tripped[0].pk)

    with pytest.raises(TemporarilyUnavailable) as caught:
        row.renew(row.generation)

    assert caught.value.code == "fleet_guard"
    assert 50 < (caught.value.retry_after or 0) <= 60
    assert fake_salesforce.token_requests == asked


def test_an_access_token_that_lives_works_meanwhile(
    fake_salesforce: FakeSalesforce, tripped: list[SalesforceConnection]
) -> None:
    honour_again(fake_salesforce)

    assert SalesforceConnection.objects.get(pk=tripped[0].pk).client().get("limits").status_code == 200


@pytest.mark.parametrize(
    ("share", "believed"), [(0.5, 4), (0.01, 2), (0, 2)], ids=["half of them", "by default", "any share"]
)
def test_it_takes_a_share_of_the_living_as_well(
    fake_salesforce: FakeSalesforce, settings: Any, share: float, believed: int
) -> None:
    set_limits(settings, count=2, share=share)
    rows = connect_many(fake_salesforce, 10)
    fake_salesforce.revoke()

    tripped_after = next(n for n, row in enumerate(rows, 1) if fare(row) and Hold.objects.exists())

    assert tripped_after == believed


def test_what_died_before_the_window_does_not_count(fleet: list[SalesforceConnection], clock: Clock) -> None:
    for row in fleet:
        fare(row)
        clock.ahead += timedelta(minutes=5)  # so that two lie within 600 s, or fewer

    assert states() == {FLAGGED: len(fleet)}


def test_another_app_is_not_concerned(
    fake_salesforce: FakeSalesforce, tripped: list[SalesforceConnection], settings: Any
) -> None:
    other = tripped[-1]
    same = {name: settings.SALESFORCE_OAUTH[name] for name in ("CLIENT_ID", "CLIENT_SECRET")}
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "APPS": {"other": same}}
    SalesforceConnection.objects.filter(pk=other.pk).update(app="other")

    assert fare(other) == "revoked"


def test_who_has_reconnected_meanwhile_is_left_alone(fleet: list[SalesforceConnection]) -> None:
    for row in fleet[: COUNT - 1]:
        fare(row)
    SalesforceConnection.objects.filter(pk=fleet[0].pk).update(status=Status.ACTIVE, reason="")

    fare(fleet[COUNT - 1])
    assert states() == {FLAGGED: COUNT - 1, WELL: 4}  # nor does it help to trip the guard
    fare(fleet[COUNT])

    assert states() == {WITHHELD: COUNT, WELL: 3}
    assert not ConnectionEvent.objects.filter(connection=fleet[0], kind=Kind.VERDICT_WITHDRAWN).exists()


def test_who_was_flagged_before_the_window_stays_flagged(fleet: list[SalesforceConnection], clock: Clock) -> None:
    fare(fleet[0])
    clock.ahead += timedelta(hours=1)
    for row in fleet[1 : COUNT + 1]:
        fare(row)

    assert states() == {FLAGGED: 1, WITHHELD: COUNT, WELL: 2}


def test_who_was_flagged_before_and_asks_again_is_told_the_same(
    fleet: list[SalesforceConnection], clock: Clock
) -> None:
    fare(fleet[0])
    clock.ahead += timedelta(hours=1)
    for row in fleet[1 : COUNT + 1]:
        fare(row)

    assert fare(fleet[0], forced=True) == "revoked"
    assert states()[FLAGGED] == 1


@committed
def test_of_many_that_die_at_once_one_trips_it_and_none_stays_flagged(
    fake_salesforce: FakeSalesforce, alarms: list[str]
) -> None:
    rows = connect_many(fake_salesforce, 12)
    fake_salesforce.revoke()
    with fake_salesforce.hold() as held:
        flights = [engine.submit(row.pk, row.generation) for row in rows]
        held.wait_for(len(rows), timeout=60)

    outcomes = Counter(flight.result(60).kind for flight in flights)

    assert outcomes["dead"] + outcomes["unavailable"] == 12
    assert outcomes["dead"] >= COUNT
    assert states() == {WITHHELD: 12}
    assert events()[Kind.RECONNECT_REQUIRED] == events()[Kind.VERDICT_WITHDRAWN] == outcomes["dead"]
    assert alarms == ["fleet_guard"]
    assert Hold.objects.count() == 1


@committed
def test_of_two_that_trip_it_at_once_one_tells_the_operator(
    fleet: list[SalesforceConnection], alarms: list[str]
) -> None:
    for row in fleet[: COUNT - 1]:
        fare(row)
    gate = threading.Barrier(2)
    SalesforceConnection.objects.filter(pk=fleet[COUNT].pk).update(status=Status.RECONNECT_REQUIRED)
    last = SalesforceConnection.objects.get(pk=fleet[COUNT].pk)
    ConnectionEvent.objects.create(
        kind=Kind.RECONNECT_REQUIRED, app="default", connection=last, connection_uuid=last.uuid
    )

    def consider(number: int) -> None:
        try:
            gate.wait(60)
            fleet_guard.consider(last)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(consider, range(2)))

    assert alarms == ["fleet_guard"]
    assert events()[Kind.VERDICT_WITHDRAWN] == COUNT


@committed
def test_a_guard_that_fails_harms_no_verdict_and_the_sweep_makes_up_for_it(
    fleet: list[SalesforceConnection],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for row in fleet[: COUNT - 1]:
        fare(row)
    withdraw = fleet_guard._withdraw

    def deadlock(*args: Any) -> None:
        raise OperationalError("10.1.2.3: deadlock")

    monkeypatch.setattr(fleet_guard, "_withdraw", deadlock)
    last = fare(fleet[COUNT - 1])
    left_undone = states()
    monkeypatch.setattr(fleet_guard, "_withdraw", withdraw)
    clock.ahead += MINUTE
    sweep()

    assert (last, left_undone[FLAGGED], states()[WITHHELD]) == ("revoked", COUNT, COUNT)
    assert "event=guard_failed app=default error=OperationalError" in caplog.text
    assert "10.1.2.3" not in caplog.text
    assert "store_failed" not in caplog.text


@committed
def test_the_victim_of_a_deadlock_tries_again(
    fleet: list[SalesforceConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    withdraw = fleet_guard._withdraw
    failed: list[OperationalError] = []

    def deadlock_once(*args: Any) -> None:
        if not failed:
            failed.append(OperationalError("deadlock"))
            raise failed[0]
        withdraw(*args)

    monkeypatch.setattr(fleet_guard, "_withdraw", deadlock_once)
    for row in fleet[:COUNT]:
        fare(row)

    assert len(failed) == 1
    assert states()[WITHHELD] == COUNT


def test_a_death_after_a_canary_lived_is_believed_and_trips_nothing(
    fake_salesforce: FakeSalesforce, tripped: list[SalesforceConnection]
) -> None:
    holds.end_tested(("fleet:default",))  # as after a canary that succeeded

    assert fare(tripped[-1]) == "revoked"

    assert not Hold.objects.filter(scope="fleet:default").exists()
