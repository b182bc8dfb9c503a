"""Asking Salesforce, on the worst day: how many at once, how fast, and what happens where it fails."""

from __future__ import annotations

import socket
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from django_sf_oauth.conf import get_app
from django_sf_oauth.models import PendingRevocation, SalesforceConnection, disconnect
from django_sf_oauth.protocol.errors import Refusal
from django_sf_oauth.services import outbox, revoking
from django_sf_oauth.services.throttle import Throttle
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection
from tests.fleet import connect_many
from tests.test_revoking import one_by_one, revocation

__all__ = ["one_by_one"]

pytestmark = pytest.mark.django_db


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.naps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(round(seconds, 3))
        self.now += seconds


# How fast


def test_requests_come_no_faster_than_the_rate_allows() -> None:
    clock = Clock()
    throttle = Throttle(clock.monotonic, clock.sleep)

    for _ in range(5):
        throttle.wait("login", "4/s")

    assert clock.naps == [0.25] * 4


def test_each_app_and_host_has_a_rate_of_its_own() -> None:
    clock = Clock()
    throttle = Throttle(clock.monotonic, clock.sleep)

    throttle.wait("login", "1/m")
    throttle.wait("test", "1/m")
    throttle.wait("login", None)

    assert clock.naps == []


def test_a_pause_is_not_made_up_for_by_a_burst() -> None:
    clock = Clock()
    throttle = Throttle(clock.monotonic, clock.sleep)
    throttle.wait("login", "2/s")
    clock.now += 60

    for _ in range(4):
        throttle.wait("login", "2/s")

    assert clock.naps == [0.5]


def test_salesforce_is_asked_at_the_rate_of_the_app(fake_salesforce: FakeSalesforce) -> None:
    clock = Clock()
    for _ in range(3):
        revocation()
    with override_settings(SALESFORCE_OAUTH={"CLIENT_ID": "x", "CLIENT_SECRET": "y", "REVOKE_RATE": "10/s"}):
        assert get_app().revoke_rate == "10/s"
        counts = outbox.Outbox(monotonic=clock.monotonic, sleep=clock.sleep).empty(
            PendingRevocation.objects.all(), deadline=1000.0
        )

    assert counts == {"revoked": 3}
    assert clock.naps == [0.1, 0.1]


def test_several_are_asked_for_at_a_time_and_no_more_than_so_many(
    fake_salesforce: FakeSalesforce, monkeypatch: pytest.MonkeyPatch
) -> None:
    flying, most, lock = [0], [0], threading.Lock()
    together = threading.Barrier(outbox.AT_ONCE)

    def ask(pending: PendingRevocation) -> Refusal | None:
        with lock:
            flying[0] += 1
            most[0] = max(most[0], flying[0])
        together.wait(60)
        with lock:
            flying[0] -= 1
        return None

    monkeypatch.setattr(outbox, "ask_to_revoke", ask)
    for _ in range(2 * outbox.AT_ONCE):
        revocation()

    counts = revoking.revoke_pending()

    assert (counts, most) == ({"revoked": 32}, [outbox.AT_ONCE])


def test_the_threads_that_ask_touch_no_database(
    fake_salesforce: FakeSalesforce, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, queries = disconnect.ask_to_revoke, []

    def watched(pending: PendingRevocation) -> Refusal | None:
        from django.db import connections

        refusal = ask(pending)
        queries.append(connections["default"].connection)
        return refusal

    monkeypatch.setattr(outbox, "ask_to_revoke", watched)
    revocation()

    revoking.revoke_pending()

    assert queries == [None]


# Where Salesforce fails


def test_where_salesforce_fails_many_in_a_row_the_rest_is_not_asked_for(
    fake_salesforce: FakeSalesforce, one_by_one: None
) -> None:
    connect_many(fake_salesforce, 14)
    fake_salesforce.maintenance = True

    counts = revoking.revoke_connections(SalesforceConnection.objects.all())

    assert counts == {"pending": 14}
    assert len(fake_salesforce.requests) == get_app().breaker.count == 10
    assert not SalesforceConnection.objects.connected().exists()


def test_a_host_that_fails_is_no_reason_not_to_ask_another(
    fake_salesforce: FakeSalesforce, one_by_one: None
) -> None:
    for _ in range(11):
        revocation(login_url="https://test.salesforce.com")
    revocation()
    fake_salesforce.fail_next(where="revoke", status=503, times=10)

    counts = revoking.revoke_pending()

    assert counts == {"revoked": 1, "pending": 11}


def test_a_refusal_of_one_does_not_count_against_the_host(
    fake_salesforce: FakeSalesforce, one_by_one: None
) -> None:
    for _ in range(12):
        revocation(app="no-longer-in-the-settings")
    revocation()

    counts = revoking.revoke_pending()

    assert counts == {"revoked": 1, "pending": 12}


def is_unusable(row: SalesforceConnection) -> bool:
    row.refresh_from_db()
    return (row.status, row.refresh_token, row.access_token) == ("disconnected", None, None)


@pytest.mark.parametrize(
    ("status", "body"), [(500, ""), (503, "<html>"), (404, "Bad_Id"), (400, "error=unsupported_token_type")]
)
def test_a_disconnect_that_salesforce_refuses_is_unusable_at_once_and_revoked_later(
    fake_salesforce: FakeSalesforce, status: int, body: str
) -> None:
    (row,) = connect_many(fake_salesforce, 1)
    fake_salesforce.fail_next(where="revoke", status=status, body=body)

    confirmed = row.disconnect()

    assert (confirmed, is_unusable(row)) == (False, True)
    assert revoking.revoke_pending(everything=True) == {"revoked": 1}
    assert list(fake_salesforce.world.live_approvals()) == []


def test_a_disconnect_that_salesforce_lets_hang_is_unusable_at_once_and_waits(settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections, and says nothing
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        facts = {"TRUSTED_HOSTS": [host], "TIMEOUTS": {"wait": 0.2}}
        settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, **facts}
        row = make_connection(login_url=f"http://{host}")

        confirmed = row.disconnect()

    assert (confirmed, is_unusable(row)) == (False, True)
    assert PendingRevocation.objects.get().attempts == 1


# An operator insists


def test_an_operator_does_not_wait_for_what_is_postponed(fake_salesforce: FakeSalesforce) -> None:
    revocation(attempts=9, next_attempt_at=timezone.now() + timedelta(days=1))

    by_itself, insisting = revoking.revoke_pending(), revoking.revoke_pending(everything=True)

    assert (by_itself, insisting) == ({}, {"revoked": 1})


def test_the_claims_of_a_run_that_was_killed_are_not_respected(fake_salesforce: FakeSalesforce) -> None:
    revocation(next_attempt_at=timezone.now() + outbox.CLAIMED_FOR)

    assert revoking.revoke_pending(everything=True) == {"revoked": 1}


def test_what_another_run_claims_meanwhile_is_left_to_it(
    fake_salesforce: FakeSalesforce, one_by_one: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = revocation(), revocation()
    monkeypatch.setattr(outbox, "CLAIM", 1)
    ask = disconnect.ask_to_revoke

    def meanwhile(pending: PendingRevocation) -> Refusal | None:
        assert pending == first
        return ask(pending)

    monkeypatch.setattr(outbox, "ask_to_revoke", meanwhile)
    later = timezone.now() + outbox.CLAIMED_FOR + timedelta(seconds=60)
    PendingRevocation.objects.filter(pk=other.pk).update(next_attempt_at=later)

    assert revoking.revoke_pending(everything=True) == {"revoked": 1, "pending": 1}
