"""An app that several orgs block at once is its operator's trouble, and not that of their admins."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError

from django_sf_oauth.exceptions import AccessBlocked, ConfigurationError
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import ConnectionEvent, Hold, SalesforceConnection, app_blocks
from django_sf_oauth.models.app_blocks import ORGS
from django_sf_oauth.testing import FakeSalesforce
from tests.fleet import connect_many, connect_one
from tests.fleet_guard.conftest import MINUTE, WELL, Clock, Kind, events, fare, states, sweep

# Alarms are sent after a commit.
pytestmark = pytest.mark.django_db(transaction=True)

BLOCKED = (Status.BLOCKED, "app_blocked", "")
WINDOW = timedelta(minutes=10)
INCIDENT = timedelta(hours=1)


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

    assert errors == [AccessBlocked] * (ORGS - 1) + [ConfigurationError] * 3
    assert states() == {WELL: len(rows)}
    assert events() == {Kind.BLOCKED: ORGS - 1, Kind.VERDICT_WITHDRAWN: ORGS - 1}
    assert alarms == ["app_blocked"]


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


def test_as_long_as_it_goes_on_later_refusals_are_the_apps(
    rows: list[SalesforceConnection], alarms: list[str], clock: Clock
) -> None:
    for row in rows[:ORGS]:
        error_of(row)

    clock.ahead += 2 * WINDOW
    assert error_of(rows[ORGS]) is ConfigurationError
    clock.ahead += 2 * INCIDENT
    assert error_of(rows[ORGS + 1]) is AccessBlocked
    assert alarms == ["app_blocked"]


def test_what_was_blocked_long_before_stays_so(rows: list[SalesforceConnection], clock: Clock) -> None:
    error_of(rows[0])
    clock.ahead += 2 * WINDOW
    for row in rows[1:]:
        error_of(row)

    clock.ahead += timedelta(days=1)
    assert error_of(rows[0]) is AccessBlocked  # its daily probe
    assert states() == {BLOCKED: 1, WELL: len(rows) - 1}


@pytest.mark.parametrize("facts", [{"app": "other"}, {"reason": "not_approved"}, {"kind": Kind.CONNECT_FAILED}])
def test_only_the_same_of_the_same_app_counts(rows: list[SalesforceConnection], facts: dict[str, Any]) -> None:
    for number in range(ORGS):
        values = {"kind": Kind.BLOCKED, "reason": "app_blocked", "app": "default", **facts}
        ConnectionEvent.objects.create(organization_id=f"00D00000000000{number}EAA", **values)

    assert error_of(rows[0]) is AccessBlocked


def test_what_waits_recovers_by_itself_when_the_app_is_admitted_again(
    fake_salesforce: FakeSalesforce, rows: list[SalesforceConnection], clock: Clock
) -> None:
    for row in rows:
        error_of(row)
    fake_salesforce.unblock_app()
    clock.ahead += 16 * MINUTE  # longer than any back-off

    assert sweep() == {"renewed": ORGS - 1}  # those that had been flagged are due at once
    assert [fare(row) for row in rows] == ["ok"] * len(rows)
    assert states() == {WELL: len(rows)}


def test_what_could_not_be_taken_back_is_by_the_next_refusal(
    rows: list[SalesforceConnection], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*args: Any, **values: Any) -> None:
        raise OperationalError("deadlock detected")

    with monkeypatch.context() as patched:
        patched.setattr(app_blocks, "withdraw", fails)
        assert [error_of(row) for row in rows[:ORGS]][-1] is ConfigurationError
    assert states() == {BLOCKED: ORGS - 1, WELL: 3}
    assert "event=withdrawal_failed app=default error=OperationalError" in caplog.text

    error_of(rows[ORGS])

    assert states() == {WELL: len(rows)}


def test_it_is_one_incident(rows: list[SalesforceConnection]) -> None:
    for row in rows:
        error_of(row)

    assert Counter(Hold.objects.values_list("scope", "reason")) == {("alarm:default", "app_blocked"): 1}
