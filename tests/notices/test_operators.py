"""What those who run the site are told: at once when an app is refused, and once a day."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import override_settings

from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import ConnectionEvent, Hold
from django_sf_oauth.models.holds import alarm_is_new
from django_sf_oauth.models.record import record
from django_sf_oauth.services import alerts, digest
from django_sf_oauth.services.alerts import send_alerts
from django_sf_oauth.services.digest import send_digests
from django_sf_oauth.services.holding import held
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection
from tests.fleet_guard.conftest import Clock, fare, set_limits
from tests.notices.conftest import MailServer, connect_reader, die, readers

pytestmark = pytest.mark.django_db

Kind = ConnectionEvent.Kind


@pytest.fixture(autouse=True)
def recipients(settings: Any) -> None:
    to = {"DIGEST": ["digest@example.com"], "ALERTS": ["alerts@example.com"]}
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, **to}


def switch_off(settings: Any, key: str) -> None:
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, key: []}


def wait_for(kind: ConnectionEvent.Kind, **values: Any) -> Any:
    """A connection that waits for somebody, as its event says."""
    row = make_connection(status=Status(kind.value), **{"reason": "revoked", **values})
    record(row, kind, reason=row.reason)
    return row


# Alerts


def test_a_refused_app_is_told_once_per_incident(fake_salesforce: FakeSalesforce, clock: Clock) -> None:
    rows = [connect_reader(fake_salesforce) for _ in range(2)]
    fake_salesforce.app.secrets = ["another"]

    fares = [fare(row) for row in rows]
    counts = [send_alerts() for _ in range(3)]

    assert fares == ["invalid_client"] * 2
    assert counts == [{"sent": 1}, {}, {}]
    assert readers() == ["alerts@example.com"]
    assert mail.outbox[0].subject == "Salesforce refuses the app default: invalid_client"


def test_the_next_incident_is_told_again(clock: Clock) -> None:
    alarm_is_new("default", "invalid_client")
    first = send_alerts()
    clock.ahead += timedelta(hours=2)

    alarm_is_new("default", "invalid_client")

    assert (first, send_alerts()) == ({"sent": 1}, {"sent": 1})


def test_a_fleet_guard_that_trips_is_told_with_how_many_wait(
    fake_salesforce: FakeSalesforce, settings: Any, clock: Clock
) -> None:
    set_limits(settings, count=3)
    die(fake_salesforce, *[connect_reader(fake_salesforce) for _ in range(4)])

    assert send_alerts() == {"sent": 1}
    assert mail.outbox[0].subject == "Many Salesforce connections of the app default fail at once"
    assert "Connections that wait: 4" in mail.outbox[0].body


def test_nobody_is_alerted_unless_the_site_says_whom(settings: Any) -> None:
    switch_off(settings, "ALERTS")
    alarm_is_new("default", "invalid_client")
    alarm_is_new("gone", "invalid_client")

    assert send_alerts() == {}


def test_an_alert_that_fails_is_sent_by_the_next_run(
    mail_server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    alarm_is_new("default", "invalid_client")
    mail_server.is_down = True
    down = send_alerts()
    mail_server.is_down = False

    assert (down, send_alerts()) == ({"failed": 1}, {"sent": 1})
    assert "event=alert_failed app=default error=OSError" in caplog.text
    assert "@" not in caplog.text


def test_of_two_runs_at_once_one_alerts(monkeypatch: pytest.MonkeyPatch) -> None:
    alarm_is_new("default", "invalid_client")
    seen_by_both = alerts.due_alerts()
    monkeypatch.setattr(alerts, "due_alerts", lambda: seen_by_both)

    assert [send_alerts(), send_alerts()] == [{"sent": 1}, {}]


# The digest


def test_the_digest_says_what_waits_and_for_how_long(clock: Clock) -> None:
    newer = wait_for(Kind.BLOCKED, reason="ip_restricted", organization_name="Globex")
    clock.ahead -= timedelta(days=3)
    older = wait_for(Kind.RECONNECT_REQUIRED, organization_name="Acme")
    clock.ahead += timedelta(days=3)
    make_connection(withheld="revoked")
    make_connection()
    Hold.objects.create(scope="app:default", reason="operator")
    Hold.objects.create(scope="app:elsewhere", reason="not of these apps")
    Hold.objects.create(scope="fleet:default", reason="released", until=clock.now() + timedelta(days=7))
    Hold.objects.create(
        scope="host:login.salesforce.com", reason="breaker", until=clock.now() + timedelta(hours=1)
    )

    assert send_digests() == {"sent": 1}

    (message,) = mail.outbox
    assert message.subject == "Salesforce connections: 1 need a reconnect, 1 blocked, 1 withheld"
    assert readers() == ["digest@example.com"]
    for part in (message.body, str(message.alternatives[0][0])):  # type: ignore[attr-defined]
        assert part.index(str(older.uuid)) < part.index(str(newer.uuid))
        for told in (older.organization_id, "Acme", "revoked", "ip_restricted", "app:default", "breaker"):
            assert told in part
        assert "elsewhere" not in part
        assert "released" not in part
        assert older.username not in part


def test_nothing_to_say_brings_no_digest() -> None:
    make_connection()

    assert send_digests() == {}
    assert not Hold.objects.exists()


def test_a_day_brings_one_digest(clock: Clock) -> None:
    wait_for(Kind.RECONNECT_REQUIRED)
    counts = [send_digests(), send_digests()]

    clock.ahead += timedelta(days=1, minutes=-1)  # a beat is not on the minute

    assert (*counts, send_digests()) == ({"sent": 1}, {}, {"sent": 1})


def test_of_two_runs_at_once_one_sends_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for(Kind.RECONNECT_REQUIRED)
    seen_by_both = list(digest.due_digests())
    monkeypatch.setattr(digest, "due_digests", lambda: iter(seen_by_both))

    assert [send_digests(), send_digests()] == [{"sent": 1}, {}]


def test_a_digest_that_fails_is_sent_by_the_next_run(
    mail_server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    wait_for(Kind.RECONNECT_REQUIRED)
    mail_server.is_down = True
    down = send_digests()
    mail_server.is_down = False

    assert (down, send_digests()) == ({"failed": 1}, {"sent": 1})
    assert "event=digest_failed app=default error=OSError" in caplog.text


def test_a_digest_that_was_sent_is_no_news_of_its_own() -> None:
    row = wait_for(Kind.RECONNECT_REQUIRED)
    send_digests()

    row.delete()

    assert list(held()) == []
    assert list(digest.due_digests()) == []


def test_apps_with_recipients_of_their_own_get_a_digest_of_their_own(settings: Any) -> None:
    apps = {"other": {"CLIENT_ID": "o", "CLIENT_SECRET": None, "DIGEST": "MANAGERS"}}
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "APPS": apps}
    mine, theirs = wait_for(Kind.RECONNECT_REQUIRED), wait_for(Kind.RECONNECT_REQUIRED, app="other")

    with override_settings(MANAGERS=["boss@example.com"]):
        counts = send_digests()

    assert counts == {"sent": 2}
    assert readers() == ["digest@example.com", "boss@example.com"]
    assert str(theirs.uuid) not in mail.outbox[0].body
    assert str(mine.uuid) not in mail.outbox[1].body


@pytest.mark.parametrize("to", [[], ["MANAGERS"]], ids=["off", "no managers"])
def test_without_recipients_there_is_no_digest(to: list[str], settings: Any) -> None:
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "DIGEST": to}
    wait_for(Kind.RECONNECT_REQUIRED)

    assert send_digests() == {}


def test_the_digest_names_the_oldest_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "OLDEST", 2)
    rows = [wait_for(Kind.RECONNECT_REQUIRED) for _ in range(4)]

    send_digests()

    named = [row for row in rows if str(row.uuid) in mail.outbox[0].body]
    assert named == rows[:2]
    assert "Need a reconnect by their user: 4" in mail.outbox[0].body
