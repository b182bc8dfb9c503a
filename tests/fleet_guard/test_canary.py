"""While verdicts are withheld, one connection is tried now and then."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from django_sf_oauth.conf import get_app
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import ConnectionEvent, Hold, SalesforceConnection, fleet_guard
from django_sf_oauth.services import schedule
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection
from tests.fleet import claim_due
from tests.fleet_guard.conftest import (
    COUNT,
    MINUTE,
    WELL,
    WITHHELD,
    Clock,
    Kind,
    fare,
    honour_again,
    states,
    sweep,
)

pytestmark = pytest.mark.django_db


def test_a_sweep_tries_one_of_those_that_wait_once_a_minute(
    fake_salesforce: FakeSalesforce, tripped: list[SalesforceConnection], clock: Clock
) -> None:
    asked = []
    for _ in range(3):
        before = fake_salesforce.token_requests
        at_once = sweep()
        clock.ahead += MINUTE
        asked.append((at_once, sweep(), sweep(), fake_salesforce.token_requests - before))

    assert asked == [({}, {"unavailable": 1}, {}, 1)] * 3
    assert states() == {WITHHELD: COUNT, WELL: 3}


def test_each_of_those_that_wait_is_the_canary_in_turn(tripped: list[SalesforceConnection], clock: Clock) -> None:
    tried = []
    for _ in range(COUNT):
        clock.ahead += MINUTE
        fleet_guard.make_canary_due()
        tried += claim_due()
        schedule.refresh_connections(tried[-1:])

    assert sorted(tried) == sorted(row.pk for row in tripped[:COUNT])


def test_a_canary_is_tried_though_a_batch_that_got_lost_had_claimed_it(
    fake_salesforce: FakeSalesforce, tripped: list[SalesforceConnection], clock: Clock
) -> None:
    clock.ahead += MINUTE
    SalesforceConnection.objects.update(claimed_until=clock.now() + timedelta(minutes=5))

    assert sweep() == {"unavailable": 1}


def test_a_call_is_as_good_a_canary(
    fake_salesforce: FakeSalesforce, tripped: list[SalesforceConnection], clock: Clock
) -> None:
    before = fake_salesforce.token_requests
    clock.ahead += MINUTE

    assert [fare(row) for row in tripped[:COUNT]] == ["fleet_guard"] * COUNT
    assert fake_salesforce.token_requests - before == 1


def test_a_canary_that_succeeds_ends_it_and_everybody_recovers(
    fake_salesforce: FakeSalesforce, tripped: list[SalesforceConnection], clock: Clock
) -> None:
    honour_again(fake_salesforce)
    clock.ahead += MINUTE

    assert sweep() == {"renewed": 1}
    assert not Hold.objects.exists()
    assert [fare(row) for row in tripped] == ["ok"] * len(tripped)
    assert states() == {WELL: len(tripped)}
    recovered = ConnectionEvent.objects.filter(kind=Kind.RECOVERED)
    assert list(recovered.values_list("reason", flat=True)) == ["revoked"] * COUNT


def test_no_guard_and_no_one_who_waits_means_no_canary(tripped: list[SalesforceConnection], clock: Clock) -> None:
    clock.ahead += MINUTE
    SalesforceConnection.objects.update(withheld="")

    fleet_guard.make_canary_due()

    assert claim_due() == []


def test_a_guard_of_an_app_that_is_gone_from_the_settings_stops_no_sweep(clock: Clock) -> None:
    make_connection(app="gone", withheld="revoked")
    now = timezone.now()
    Hold.objects.create(scope="fleet:gone", reason="fleet_guard", until=now + MINUTE, probe_at=now)

    assert sweep() == {}


def test_who_asks_now_is_asked_for_and_their_verdict_is_withheld_again(
    fake_salesforce: FakeSalesforce, tripped: list[SalesforceConnection]
) -> None:
    asked = fake_salesforce.token_requests

    assert fare(tripped[0], forced=True) == "fleet_guard"
    assert fake_salesforce.token_requests == asked + 1
    assert states()[WITHHELD] == COUNT


@pytest.mark.parametrize(
    ("scope", "code"),
    [("host:login.salesforce.com", "breaker_open"), ("all", "stopped"), ("app:default", "stopped")],
)
def test_who_asks_now_passes_neither_breaker_nor_kill_switch(
    fake_salesforce: FakeSalesforce, tripped: list[SalesforceConnection], scope: str, code: str
) -> None:
    asked = fake_salesforce.token_requests
    Hold.objects.create(scope=scope, reason="incident")

    assert fare(tripped[0], forced=True) == code
    assert fake_salesforce.token_requests == asked


def test_a_lost_rotation_that_is_withheld_stays_one(fleet: list[SalesforceConnection], clock: Clock) -> None:
    SalesforceConnection.objects.update(in_doubt_since=timezone.now())
    for row in fleet[:COUNT]:
        fare(row)
    clock.ahead += MINUTE
    fare(fleet[0])

    fleet_guard.release(get_app())

    assert states()[Status.RECONNECT_REQUIRED, "rotation_lost", ""] == COUNT


@pytest.mark.parametrize("reason", ["in doubt", "backing off"])
def test_one_that_a_sweep_leaves_alone_is_no_canary(
    tripped: list[SalesforceConnection], clock: Clock, reason: str
) -> None:
    now, later = clock.now(), clock.now() + timedelta(hours=1)
    values = {"in_doubt_since": now, "expires_at": later} if reason == "in doubt" else {"retry_at": later}
    left_alone = SalesforceConnection.objects.filter(pk=tripped[0].pk)
    left_alone.update(next_refresh_at=later, **values)  # else it would be the first in turn
    clock.ahead += MINUTE

    fleet_guard.make_canary_due()

    assert tripped[0].pk not in claim_due()


def test_where_all_are_left_alone_there_is_no_canary(tripped: list[SalesforceConnection], clock: Clock) -> None:
    SalesforceConnection.objects.update(retry_at=clock.now() + timedelta(hours=1))
    clock.ahead += MINUTE

    assert sweep() == {}
