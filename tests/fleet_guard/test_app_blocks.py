"""An app that several orgs block at once is its operator's trouble, and not that of their admins."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sf_oauth.exceptions import AccessBlocked, ConfigurationError
from django_sf_oauth.grants.contract import Claim, Status, Verdict
from django_sf_oauth.models import ConnectionEvent, Hold, SalesforceConnection, app_blocks, holds
from django_sf_oauth.models.app_blocks import ORGS
from django_sf_oauth.models.store import store
from django_sf_oauth.testing import FakeSalesforce
from tests.fleet import connect_many, connect_one
from tests.fleet_guard.conftest import MINUTE, WELL, Clock, Kind, events, fare, states, sweep

# Alarms are sent after a commit.
pytestmark = pytest.mark.django_db(transaction=True)

ALARM, MARK = "alarm:default", "alarm:default.app_blocked"
BLOCKED = (Status.BLOCKED, "app_blocked", "")
WINDOW = timedelta(minutes=10)
DAY = timedelta(days=1)


def connect_orgs(fake: FakeSalesforce, number: int = ORGS + 2) -> list[SalesforceConnection]:
    """A connection to each of so many orgs."""
    orgs = [fake.add_org(f"Org {number}", my_domain=f"org{number}.my.salesforce.com") for number in range(number)]
    return [connect_one(fake, org=org) for org in orgs]


@pytest.fixture
def rows(fake_salesforce: FakeSalesforce) -> list[SalesforceConnection]:
    """Connections to several orgs, of an app that is blocked in all of them."""
    rows = connect_orgs(fake_salesforce)
    fake_salesforce.block_app()
    return rows


def claim_of(row: SalesforceConnection) -> Claim:
    grant = store.read(row.pk)
    assert grant is not None
    claim = store.claim(grant, lease=90.0)
    assert claim is not None
    return claim


def error_of(row: SalesforceConnection) -> type[Exception]:
    with pytest.raises((AccessBlocked, ConfigurationError)) as caught:
        SalesforceConnection.objects.get(pk=row.pk).renew(row.generation)
    assert caught.value.code == "app_blocked"
    return caught.type


def test_an_org_that_blocks_the_app_is_believed_and_so_is_a_second(
    rows: list[SalesforceConnection], alarms: list[str]
) -> None:
    assert [error_of(row) for row in rows[: ORGS - 1]] == [AccessBlocked] * (ORGS - 1)

    assert states() == {BLOCKED: ORGS - 1, WELL: 3}
    assert alarms == []


def test_when_one_more_does_the_operator_is_told_and_nobody_else(
    rows: list[SalesforceConnection], alarms: list[str]
) -> None:
    errors = [error_of(row) for row in rows]

    assert errors == [AccessBlocked] * ORGS + [ConfigurationError] * 2
    assert states() == {WELL: len(rows)}
    assert events() == {Kind.BLOCKED: ORGS, Kind.VERDICT_WITHDRAWN: ORGS}
    assert alarms == ["app_blocked"]
    assert set(Hold.objects.values_list("scope", flat=True)) == {ALARM, MARK}


def test_those_that_are_refused_at_once_find_out_together(fake_salesforce: FakeSalesforce) -> None:
    """None of them sees what the others are about to note."""
    rows = connect_orgs(fake_salesforce, 8)
    fake_salesforce.block_app()
    SalesforceConnection.objects.update(next_refresh_at=timezone.now() - MINUTE)

    assert sum(sweep().values()) == len(rows)

    assert states() == {WELL: len(rows)}
    assert Hold.objects.filter(scope=MARK).exists()


def test_however_many_connections_of_one_org_are_blocked_it_is_that_org(
    fake_salesforce: FakeSalesforce, alarms: list[str]
) -> None:
    rows = connect_many(fake_salesforce, 12)
    fake_salesforce.block_app()

    assert [error_of(row) for row in rows] == [AccessBlocked] * 12
    assert (states(), alarms) == ({BLOCKED: 12}, [])


def test_orgs_that_block_it_one_after_the_other_are_believed(
    rows: list[SalesforceConnection], alarms: list[str], clock: Clock
) -> None:
    for row in rows:
        assert error_of(row) is AccessBlocked
        clock.ahead += WINDOW / (ORGS - 1)

    assert (states(), alarms) == ({BLOCKED: len(rows)}, [])


def test_an_org_that_has_admitted_it_again_does_not_count(
    fake_salesforce: FakeSalesforce, rows: list[SalesforceConnection]
) -> None:
    for row in rows[: ORGS - 1]:
        error_of(row)
    fake_salesforce.unblock_app()
    assert fare(rows[0], forced=True) == "ok"
    fake_salesforce.block_app()

    assert error_of(rows[ORGS]) is AccessBlocked
    assert states() == {BLOCKED: ORGS - 1, WELL: 3}


def test_for_a_day_later_refusals_are_the_apps(
    rows: list[SalesforceConnection], alarms: list[str], clock: Clock
) -> None:
    for row in rows[:ORGS]:
        error_of(row)

    clock.ahead += 2 * WINDOW
    assert error_of(rows[ORGS]) is ConfigurationError
    clock.ahead += DAY
    assert error_of(rows[ORGS + 1]) is AccessBlocked
    assert alarms == ["app_blocked"]


def test_an_org_that_goes_on_blocking_it_speaks_for_itself_after_that(
    fake_salesforce: FakeSalesforce, rows: list[SalesforceConnection], clock: Clock
) -> None:
    for row in rows:
        error_of(row)
    fake_salesforce.unblock_app()
    fake_salesforce.block_app(org=fake_salesforce.world.orgs[rows[0].organization_id])
    for _ in range(5):
        clock.ahead += DAY / 4
        sweep()

    assert states() == {BLOCKED: 1, WELL: len(rows) - 1}


def test_the_operator_may_say_that_they_are_blocked_indeed(
    rows: list[SalesforceConnection], alarms: list[str], clock: Clock
) -> None:
    for row in rows[:ORGS]:
        error_of(row)

    call_command("sf_oauth_holds", "--release", MARK, "--yes")

    clock.ahead += MINUTE
    assert [error_of(row) for row in rows] == [AccessBlocked] * len(rows)
    assert (states(), alarms) == ({BLOCKED: len(rows)}, ["app_blocked"])


def test_another_alarm_of_the_app_does_not_keep_it_from_being_noticed(
    rows: list[SalesforceConnection], clock: Clock
) -> None:
    assert holds.alarm_is_new("default", "invalid_client")

    for row in rows:
        error_of(row)
    for _ in range(4):
        clock.ahead += WINDOW
        sweep()

    assert states() == {WELL: len(rows)}
    assert events() == {Kind.BLOCKED: ORGS, Kind.VERDICT_WITHDRAWN: ORGS}


def test_what_was_blocked_long_before_stays_so(rows: list[SalesforceConnection], clock: Clock) -> None:
    error_of(rows[0])
    clock.ahead += 2 * WINDOW
    for row in rows[1:]:
        error_of(row)

    clock.ahead += DAY - WINDOW
    assert error_of(rows[0]) is AccessBlocked  # its daily probe
    assert states() == {BLOCKED: 1, WELL: len(rows) - 1}


@pytest.mark.parametrize("facts", [{"app": "other"}, {"reason": "not_approved"}])
def test_only_the_same_of_the_same_app_counts(rows: list[SalesforceConnection], facts: dict[str, str]) -> None:
    for row in rows[:ORGS]:
        values = {"kind": Kind.BLOCKED, "reason": "app_blocked", "app": "default", **facts}
        ConnectionEvent.objects.create(connection=row, organization_id=row.organization_id, **values)
    SalesforceConnection.objects.filter(pk__in=[row.pk for row in rows[:ORGS]]).update(
        status=Status.BLOCKED, reason="app_blocked"
    )

    assert error_of(rows[ORGS]) is AccessBlocked
    assert not Hold.objects.filter(scope=MARK).exists()


def test_what_waits_recovers_by_itself_when_the_app_is_admitted_again(
    fake_salesforce: FakeSalesforce, rows: list[SalesforceConnection], clock: Clock
) -> None:
    for row in rows:
        error_of(row)
    fake_salesforce.unblock_app()
    clock.ahead += 16 * MINUTE  # longer than any back-off

    assert sweep() == {"renewed": ORGS}  # those that had been flagged are due at once
    assert [fare(row) for row in rows] == ["ok"] * len(rows)
    assert states() == {WELL: len(rows)}


def test_what_could_not_be_taken_back_is_by_the_next_refusal(
    rows: list[SalesforceConnection], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*args: Any, **values: Any) -> None:
        raise OperationalError("deadlock detected")

    with monkeypatch.context() as patched:
        patched.setattr(app_blocks, "withdraw", fails)
        for row in rows[:ORGS]:
            error_of(row)
    assert states() == {BLOCKED: ORGS, WELL: 2}
    assert "event=withdrawal_failed app=default error=OperationalError" in caplog.text

    error_of(rows[ORGS])

    assert states() == {WELL: len(rows)}


def test_a_refusal_costs_no_more_where_many_were_blocked(
    fake_salesforce: FakeSalesforce, rows: list[SalesforceConnection]
) -> None:
    def statements(row: SalesforceConnection) -> int:
        with CaptureQueriesContext(connection) as queries:
            store.fail(claim_of(row), blocked)
        return len(queries)

    blocked = Verdict(kind="blocked", reason="app_blocked", status=Status.BLOCKED)
    many = connect_many(fake_salesforce, 30)
    for row in rows[: ORGS + 1]:
        error_of(row)
    few = statements(rows[ORGS + 1])
    for row in many[:-1]:
        error_of(row)

    assert statements(many[-1]) == few
