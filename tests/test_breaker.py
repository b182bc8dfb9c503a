"""A token host that fails everybody is left in peace, and tested now and then."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from django_sf_oauth.exceptions import SalesforceOAuthError
from django_sf_oauth.models import Hold, SalesforceConnection, holds
from django_sf_oauth.testing import FakeSalesforce
from tests.fleet import connect_many, connect_one

pytestmark = pytest.mark.django_db

COUNT = 10  # by default
HOST = "host:login.salesforce.com"


@pytest.fixture
def down(fake_salesforce: FakeSalesforce) -> list[SalesforceConnection]:
    """Connections whose host is in trouble, after so many failures in a row that it is held."""
    fake_salesforce.maintenance = True
    rows = connect_many(fake_salesforce, COUNT + 3)
    assert codes_of(rows[:COUNT]) == ["server_error"] * COUNT
    return rows[COUNT:]


def codes_of(rows: list[SalesforceConnection]) -> list[str]:
    return [code_of(row) for row in rows]


def code_of(row: SalesforceConnection) -> str:
    try:
        row.refresh()
    except SalesforceOAuthError as error:
        return error.code
    return "ok"


def let_a_pause_pass() -> None:
    Hold.objects.update(probe_at=timezone.now() - timedelta(seconds=1))


def test_a_host_that_fails_many_connections_in_a_row_is_asked_no_more(
    fake_salesforce: FakeSalesforce, down: list[SalesforceConnection]
) -> None:
    assert codes_of(down) == ["breaker_open"] * 3
    assert fake_salesforce.token_requests == COUNT
    assert [(hold.scope, hold.reason) for hold in Hold.objects.all()] == [(HOST, "breaker")]


def test_one_request_tests_the_host_after_a_pause(
    fake_salesforce: FakeSalesforce, down: list[SalesforceConnection]
) -> None:
    let_a_pause_pass()

    assert codes_of(down) == ["server_error", "breaker_open", "breaker_open"]
    assert fake_salesforce.token_requests == COUNT + 1


def test_when_the_host_is_well_again_everybody_may_ask(
    fake_salesforce: FakeSalesforce, down: list[SalesforceConnection]
) -> None:
    fake_salesforce.maintenance = False
    still = code_of(down[0])
    let_a_pause_pass()

    assert (still, codes_of(down)) == ("breaker_open", ["ok"] * 3)
    assert not Hold.objects.exists()


def test_a_refusal_shows_that_the_host_is_well(
    fake_salesforce: FakeSalesforce, down: list[SalesforceConnection]
) -> None:
    fake_salesforce.maintenance = False
    fake_salesforce.revoke(fake_salesforce.world.users[down[0].username])
    let_a_pause_pass()

    assert codes_of(down) == ["revoked", "ok", "ok"]


def test_other_hosts_go_on(fake_salesforce: FakeSalesforce, down: list[SalesforceConnection]) -> None:
    fake_salesforce.maintenance = False
    elsewhere = connect_one(fake_salesforce)
    host = elsewhere.instance_url  # a My Domain answers token requests too
    SalesforceConnection.objects.filter(pk=elsewhere.pk).update(login_url=host)
    user = fake_salesforce.world.users[elsewhere.username]
    (approval,) = fake_salesforce.world.live_approvals(user=user)
    approval.login_host = host.partition("://")[2]

    assert codes_of([*down, elsewhere]) == ["breaker_open"] * 3 + ["ok"]


def test_failures_between_which_somebody_is_answered_hold_nothing(fake_salesforce: FakeSalesforce) -> None:
    rows = connect_many(fake_salesforce, 2 * COUNT)
    codes = []
    for number, row in enumerate(rows):
        if number != COUNT - 1:
            fake_salesforce.fail_next()
        codes.append(code_of(row))

    assert codes.count("server_error") == 2 * COUNT - 1
    assert Hold.objects.count() == 1  # of the second run only


def test_the_limits_are_those_of_the_settings(fake_salesforce: FakeSalesforce, settings: Any) -> None:
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "BREAKER": {"count": 2}}
    fake_salesforce.maintenance = True

    assert codes_of(connect_many(fake_salesforce, 3)) == ["server_error", "server_error", "breaker_open"]


def test_a_breaker_that_cannot_be_set_harms_no_refresh(
    fake_salesforce: FakeSalesforce, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def down(*args: Any, **kwargs: Any) -> bool:
        raise OperationalError("gone")

    monkeypatch.setattr(holds, "put", down)
    fake_salesforce.maintenance = True

    assert codes_of(connect_many(fake_salesforce, COUNT + 1)) == ["server_error"] * (COUNT + 1)
    assert "event=hold_failed error=OperationalError" in caplog.text
