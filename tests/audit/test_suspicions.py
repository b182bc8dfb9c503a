"""Signs of trouble: each told once while it lasts, and none at the cost of a refresh that is as it should be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from django_sf_oauth import signals
from django_sf_oauth.exceptions import SalesforceOAuthError
from django_sf_oauth.grants.contract import Claim, Status, Verdict
from django_sf_oauth.grants.suspicion import refresh_load, suspicions
from django_sf_oauth.models import ConnectionEvent, SalesforceConnection, suspicion
from django_sf_oauth.models import store as store_module
from django_sf_oauth.models.record import record
from django_sf_oauth.models.store import RowStore
from django_sf_oauth.models.suspicion import suspect, suspect_shared_token
from django_sf_oauth.protocol.hosts import host_family
from django_sf_oauth.protocol.tokens import TokenAnswer
from django_sf_oauth.testing import FakeSalesforce
from tests.audit.tampering import Kind, change, events_of, wrongs
from tests.factories import make_connection
from tests.fleet import connect_many, connect_one
from tests.grants.memory import grant

pytestmark = pytest.mark.django_db

ORG, USER = "00D000000000001EAA", "005000000000001AAA"
NOW = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.fixture
def told() -> Iterator[list[str]]:
    """The reasons that receivers of the signal were told."""
    told: list[str] = []

    def hear(reason: str, **kwargs: Any) -> None:
        told.append(reason)

    signals.suspicious.connect(hear)
    yield told
    signals.suspicious.disconnect(hear)


def answer(**values: Any) -> TokenAnswer:
    return TokenAnswer(**{"access_token": "access-2", **values})


STORE = RowStore()


def claimed(row: SalesforceConnection) -> Claim:
    reading = STORE.read(row.pk)
    assert reading is not None
    claim = STORE.claim(reading, lease=90.0)
    assert claim is not None
    return claim


def refreshed(row: SalesforceConnection, **values: Any) -> None:
    """A refresh that Salesforce answered so."""
    STORE.store(claimed(row), answer(**values))


def noted(row: SalesforceConnection) -> list[str]:
    return [event.reason for event in events_of(row) if event.kind == Kind.SUSPICIOUS]


# What is odd


@pytest.mark.parametrize(
    ("values", "reasons"),
    [
        pytest.param({}, (), id="nothing said"),
        pytest.param({"id": f"https://login.salesforce.com/id/{ORG}/{USER}"}, (), id="the same org"),
        pytest.param({"access_token": f"{ORG[:15]}!x"}, (), id="the token is of the org"),
        pytest.param({"id": "https://login.salesforce.com/id/nonsense"}, (), id="no identity"),
        pytest.param({"instance_url": "https://acme2.my.salesforce.com"}, (), id="moved within Salesforce"),
        pytest.param({"instance_url": "https://acme.my.salesforce.com.evil.test"}, ("host_changed",), id="host"),
        pytest.param({"instance_url": "https://acme.my.salesforce.mil"}, ("host_changed",), id="another domain"),
        pytest.param({"instance_url": "gopher://x"}, ("host_changed",), id="no URL"),
    ],
)
def test_an_answer_of_another_host_is_odd(values: dict[str, Any], reasons: tuple[str, ...]) -> None:
    assert suspicions(grant(), answer(**values), load=1.0, most=20) == reasons


@pytest.mark.parametrize(
    ("before", "load", "most", "is_odd"),
    [(19.4, 20.2, 20, True), (3.0, 4.0, 20, False), (20.5, 21.4, 20, False), (19.4, 20.2, None, False)],
    ids=["now too many", "few", "too many before", "switched off"],
)
def test_too_many_refreshes_are_odd_once(before: float, load: float, most: int | None, is_odd: bool) -> None:
    found = suspicions(grant(refresh_load=before), answer(), load=load, most=most)

    assert found == (("too_many_refreshes",) if is_odd else ())


@pytest.mark.parametrize(("every", "expected"), [(3600, 1), (900, 4), (120, 30), (60, 60)])
def test_the_load_is_about_how_many_there_were_in_an_hour(every: int, expected: int) -> None:
    load, last = 0.0, None
    for number in range(500):
        now = NOW + timedelta(seconds=every * number)
        load, last = refresh_load(load, last, now), now

    assert expected - 0.5 <= load <= expected + 1


def test_a_clock_that_goes_back_makes_no_load() -> None:
    assert refresh_load(2.0, NOW, NOW - timedelta(hours=5)) == 3.0


def test_hosts_of_one_family() -> None:
    assert host_family("https://a.my.salesforce.com") == host_family("https://na1.salesforce.com")
    assert host_family("http://127.0.0.1:8001") == "127.0.0.1:8001"
    assert host_family("nonsense") == ""


# What comes of it


def test_a_refresh_that_answers_for_another_org_is_told_once(
    told: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    row = make_connection()
    refused = Verdict(kind="unavailable", reason="foreign_org")
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(3):
            STORE.fail(claimed(row), refused)

    assert noted(row) == told == ["org_changed"]
    assert wrongs() == []


def test_a_host_that_is_not_trusted_is_told_and_not_adopted(
    told: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    row = make_connection()
    with django_capture_on_commit_callbacks(execute=True):
        refreshed(row, instance_url="https://evil.example")

    row.refresh_from_db()
    assert noted(row) == told == ["host_changed"]
    assert row.instance_url == "https://acme.my.salesforce.com"


def test_what_goes_on_is_told_again_after_a_day() -> None:
    row = make_connection()
    suspect(row, "org_changed")
    change(events_of(row)[0], created_at=datetime.now(tz=UTC) - timedelta(days=2))

    suspect(row, "org_changed")

    assert noted(row) == ["org_changed", "org_changed"]


def test_each_reason_is_an_incident_of_its_own() -> None:
    row = make_connection()

    for reason in ("org_changed", "host_changed", "org_changed"):
        suspect(row, reason)

    assert noted(row) == ["org_changed", "host_changed"]


def test_a_program_that_refreshes_all_the_time_is_told_of(settings: Any) -> None:
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "MOST_REFRESHES": 3}
    row = make_connection()

    for _ in range(2):
        refreshed(row)
    before = noted(row)
    for _ in range(5):
        refreshed(row)

    assert (before, noted(row)) == ([], ["too_many_refreshes"])


def test_a_recovery_is_watched_too() -> None:
    row = make_connection(status=Status.BLOCKED, reason="app_blocked")

    refreshed(row, instance_url="https://evil.example")

    assert [event.kind for event in events_of(row)] == [Kind.RECOVERED, Kind.SUSPICIOUS]


def test_a_refresh_as_it_should_be_costs_no_query_more() -> None:
    row = make_connection()
    store = RowStore()
    reading = store.read(row.pk)
    assert reading is not None

    as_ever = answer(instance_url=row.instance_url, id=f"https://login.salesforce.com/id/{ORG}/{USER}")
    with CaptureQueriesContext(connection) as queries:
        claim = store.claim(reading, lease=90.0)
        assert claim is not None
        store.store(claim, as_ever)

    assert len(queries) == 2  # to claim, and to store


@pytest.mark.django_db(transaction=True)
def test_to_look_into_many_takes_no_more_connections_than_there_are_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[str] = []
    monkeypatch.setattr(store_module.own_connections, "take", lambda: taken.append("place"))
    monkeypatch.setattr(store_module, "note", lambda *args: taken.append("note"))
    monkeypatch.setattr(store_module.commits, "update", lambda update: True)
    row = make_connection()
    store = RowStore()
    reading = store.read(row.pk)
    assert reading is not None
    claim = store.claim_at_once(reading, lease=90.0)
    assert claim is not None
    taken.clear()

    store.store(claim, answer(instance_url="https://evil.example"))

    assert taken == ["place", "note"]


def test_a_database_that_fails_now_loses_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise DatabaseError

    row = make_connection()
    monkeypatch.setattr(suspicion, "suspect", fail)

    refreshed(row, access_token="rotated", instance_url="https://acme.my.salesforce.mil")

    row.refresh_from_db()
    assert row.access_token is not None
    assert row.access_token.reveal() == "rotated"


def test_a_connection_deleted_meanwhile_is_nobody_to_suspect() -> None:
    suspicion.note(grant(key=0), "host_changed")

    assert not ConnectionEvent.objects.exists()


def test_one_token_in_two_connections_is_told() -> None:
    first, second, third = (make_connection(refresh_token=token) for token in ("5Aep1", "5Aep1", "5Aep2"))
    for row in (first, second, third):
        record(row, Kind.CONNECTED)
        suspect_shared_token(row)

    assert [noted(row) for row in (first, second, third)] == [[], ["token_shared"], []]


def test_a_burst_of_dead_grants_is_told_once(
    fake_salesforce: FakeSalesforce, settings: Any, told: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    settings.SALESFORCE_OAUTH = {
        **settings.SALESFORCE_OAUTH,
        "FLEET_GUARD": {"window": 600, "count": 2, "share": 0.0},
    }
    rows = connect_many(fake_salesforce, 4)
    fake_salesforce.revoke()

    with django_capture_on_commit_callbacks(execute=True):
        for row in rows:
            with suppress(SalesforceOAuthError):
                row.refresh()

    assert told == ["fleet_guard"]
    assert ConnectionEvent.objects.filter(kind=Kind.SUSPICIOUS).count() == 1


def test_a_connection_learns_its_load(fake_salesforce: FakeSalesforce) -> None:
    row = connect_one(fake_salesforce)

    row.refresh()
    row.refresh()

    assert 1.9 < row.refresh_load <= 2.0
    assert SalesforceConnection.objects.get().refresh_load == row.refresh_load
