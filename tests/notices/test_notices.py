"""Telling users: when a mail is sent, when not, and how often."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from django.core import mail
from django.db import transaction
from django.test import Client
from django.utils import timezone

from django_sf_oauth.conf import get_app
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import ConnectionEvent, Hold, Notice, SalesforceConnection, fleet_guard
from django_sf_oauth.models.notice import CLAIMED_FOR, TRIES, NoticeQuerySet
from django_sf_oauth.models.record import record, record_all
from django_sf_oauth.services import notices
from django_sf_oauth.services.notices import send_notices
from django_sf_oauth.services.opting_out import set_told
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection, make_user
from tests.fleet_guard.conftest import Clock, events, fare, honour_again, set_limits
from tests.journey import connect
from tests.notices.conftest import WINDOW, MailServer, connect_reader, die, readers

pytestmark = pytest.mark.django_db

Kind = ConnectionEvent.Kind


@pytest.fixture
def row(fake_salesforce: FakeSalesforce) -> SalesforceConnection:
    return connect_reader(fake_salesforce)


def flag(**values: Any) -> SalesforceConnection:
    """A connection that has just been flagged."""
    values = {"user": make_user(email="grace@example.com"), **values}
    row = make_connection(status=Status.RECONNECT_REQUIRED, reason="revoked", **values)
    record(row, Kind.RECONNECT_REQUIRED, reason="revoked")
    return row


# One mail per incident


def test_an_incident_brings_one_mail_however_often_the_sweep_runs(
    fake_salesforce: FakeSalesforce, row: SalesforceConnection, clock: Clock
) -> None:
    die(fake_salesforce, row)
    counts = []
    for _ in range(4):
        clock.ahead += WINDOW
        counts += [send_notices(), send_notices()]

    assert counts == [{"sent": 1}, {}, {}, {}, {}, {}, {}, {}]
    assert readers() == ["ada@example.com"]


def test_no_mail_is_sent_within_the_window(
    fake_salesforce: FakeSalesforce, row: SalesforceConnection, clock: Clock
) -> None:
    die(fake_salesforce, row)
    clock.ahead += WINDOW - timedelta(seconds=5)

    assert send_notices() == {}


def test_a_connection_that_recovers_within_the_window_brings_no_mail(
    fake_salesforce: FakeSalesforce, row: SalesforceConnection, clock: Clock
) -> None:
    die(fake_salesforce, row)
    honour_again(fake_salesforce)

    assert fare(row, forced=True) == "ok"
    clock.ahead += WINDOW

    assert send_notices() == {}
    assert not Notice.objects.exists()


def test_a_user_who_connects_again_within_the_window_gets_no_mail(
    fake_salesforce: FakeSalesforce, client: Client, clock: Clock
) -> None:
    client.force_login(make_user(email="ada@example.com"))
    connect(client, fake_salesforce)
    row = SalesforceConnection.objects.get()
    die(fake_salesforce, row)

    connect(client, fake_salesforce, uuid=row.uuid)
    clock.ahead += WINDOW

    assert events()[Kind.RECONNECTED] == 1
    assert send_notices() == {}


def test_each_death_after_a_reconnect_is_an_incident_of_its_own(
    fake_salesforce: FakeSalesforce, client: Client
) -> None:
    client.force_login(make_user(email="ada@example.com"))
    connect(client, fake_salesforce)
    row = SalesforceConnection.objects.get()
    for _ in range(3):
        die(fake_salesforce, row)
        Notice.objects.update(due_at=timezone.now())  # time passes
        send_notices()
        connect(client, fake_salesforce, uuid=row.uuid)

    assert readers() == ["ada@example.com"] * 3


def test_another_reason_is_the_same_incident(row: SalesforceConnection, clock: Clock) -> None:
    flagged = flag()
    clock.ahead += WINDOW
    send_notices()

    record(flagged, Kind.RECONNECT_REQUIRED, reason="token_expired")
    clock.ahead += WINDOW

    assert send_notices() == {}


@pytest.mark.parametrize(
    "kind",
    [
        Kind.RECONNECTED,
        Kind.RECOVERED,
        Kind.DISCONNECTED,
        Kind.DELETED,
        Kind.VERDICT_WITHDRAWN,
        Kind.BLOCKED,
    ],
)
def test_what_ends_an_incident_ends_its_notice(kind: ConnectionEvent.Kind, clock: Clock) -> None:
    row = flag()

    record(row, kind)

    assert not Notice.objects.exists()


@pytest.mark.parametrize("kind", [Kind.CONNECT_FAILED, Kind.IDENTITY_MISMATCH, Kind.REVOKED, Kind.CONNECTED])
def test_what_changes_nothing_for_the_user_leaves_it_open(kind: ConnectionEvent.Kind) -> None:
    row = flag()

    record(row, kind)

    assert Notice.objects.count() == 1


def test_a_flag_that_is_rolled_back_leaves_no_notice() -> None:
    with transaction.atomic():
        flag()
        transaction.set_rollback(True)

    assert not Notice.objects.exists()


def test_a_deleted_connection_or_user_leaves_no_notice() -> None:
    rows = [flag(), flag()]

    rows[0].delete()
    rows[1].user.delete()

    assert not Notice.objects.exists()


# The fleet guard


def test_a_withdrawn_verdict_mails_nobody(fake_salesforce: FakeSalesforce, settings: Any, clock: Clock) -> None:
    set_limits(settings, count=3)
    rows = [connect_reader(fake_salesforce, f"reader{number}") for number in range(5)]

    die(fake_salesforce, *rows)
    clock.ahead += WINDOW

    assert send_notices() == {}
    assert not Notice.objects.exists()


def test_a_release_tells_each_user_once(fake_salesforce: FakeSalesforce, settings: Any, clock: Clock) -> None:
    set_limits(settings, count=3)
    rows = [connect_reader(fake_salesforce, f"reader{number}") for number in range(5)]
    die(fake_salesforce, *rows)

    for _ in range(2):
        fleet_guard.release(get_app())
    clock.ahead += WINDOW
    counts = [send_notices() for _ in range(2)]

    assert counts == [{"sent": 5}, {}]
    assert sorted(readers()) == [f"reader{number}@example.com" for number in range(5)]


def test_one_flagged_before_the_guards_window_waits_until_the_guard_ends(clock: Clock) -> None:
    row = flag()
    guard = Hold.objects.create(scope="fleet:default", reason="fleet_guard", until=clock.now() + 2 * WINDOW)
    clock.ahead += WINDOW

    held = send_notices()
    guard.delete()
    at_once = send_notices()
    clock.ahead += CLAIMED_FOR

    assert (held, at_once, send_notices()) == ({"held": 1}, {}, {"sent": 1})
    assert Notice.objects.get(connection=row).attempts == 1


@pytest.mark.parametrize("scope", ["all", "app:default", "org"])
def test_nobody_is_sent_to_a_page_that_an_operator_has_stopped(scope: str, clock: Clock) -> None:
    row = flag()
    Hold.objects.create(scope=f"org:{row.organization_id}" if scope == "org" else scope, reason="operator")
    clock.ahead += WINDOW

    assert send_notices() == {"held": 1}


@pytest.mark.parametrize(
    ("scope", "reason"), [("app:other", "operator"), ("fleet:default", "released"), ("alarm:default", "x")]
)
def test_another_hold_holds_no_mail_back(scope: str, reason: str, clock: Clock) -> None:
    flag()
    Hold.objects.create(scope=scope, reason=reason, until=clock.now() + 2 * WINDOW)
    clock.ahead += WINDOW

    assert send_notices() == {"sent": 1}


# Many


def test_many_are_opened_and_closed_at_once(django_assert_max_num_queries: Any) -> None:
    rows = [make_connection(status=Status.RECONNECT_REQUIRED, reason="revoked") for _ in range(30)]

    with django_assert_max_num_queries(10):  # events, their chains, notices, and savepoints
        record_all(rows, Kind.RECONNECT_REQUIRED)
    opened = Notice.objects.count()
    with django_assert_max_num_queries(10):
        record_all(rows, Kind.VERDICT_WITHDRAWN)

    assert (opened, Notice.objects.count()) == (30, 0)


def test_a_run_ends_when_its_budget_is_spent(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "BATCH", 2)
    for _ in range(5):
        flag()
    clock.ahead += WINDOW
    seconds = count()

    first = send_notices(budget=3.0, monotonic=lambda: float(next(seconds)))

    assert (first, send_notices()) == ({"sent": 3}, {"sent": 2})


# Whom


@pytest.mark.parametrize(
    "values", [{"email": ""}, {"email": "grace@example.com", "is_active": False}], ids=["no address", "inactive"]
)
def test_a_user_who_reads_no_mail_gets_none(values: dict[str, Any], clock: Clock) -> None:
    flag(user=make_user(**values))
    clock.ahead += WINDOW

    assert [send_notices(), send_notices()] == [{"unwanted": 1}, {}]
    assert mail.outbox == []


def test_a_user_who_has_opted_out_gets_none(clock: Clock) -> None:
    row = flag()
    set_told(row.user, False)
    clock.ahead += WINDOW

    assert send_notices() == {"unwanted": 1}


@pytest.mark.parametrize(
    ("alias", "opened"), [("default", 1), ("quiet", 0), ("gone", 0)], ids=["told", "switched off", "removed"]
)
def test_only_apps_that_mail_users_open_incidents(alias: str, opened: int, settings: Any) -> None:
    quiet = {"CLIENT_ID": "q", "CLIENT_SECRET": None, "NOTIFY_USERS": False}
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "APPS": {"quiet": quiet}}

    flag(app=alias)

    assert Notice.objects.count() == opened


def test_without_the_address_of_the_site_mails_wait(clock: Clock, settings: Any) -> None:
    flag()
    clock.ahead += WINDOW
    known = settings.SALESFORCE_OAUTH
    settings.SALESFORCE_OAUTH = {**known, "SITE_URL": ""}

    before = send_notices()
    settings.SALESFORCE_OAUTH = known

    assert (before, send_notices()) == ({}, {"sent": 1})


def test_a_status_that_changed_behind_our_back_is_looked_at_before_sending(clock: Clock) -> None:
    row = flag()
    SalesforceConnection.objects.filter(pk=row.pk).update(status=Status.ACTIVE)
    clock.ahead += WINDOW

    assert send_notices() == {"over": 1}
    assert not Notice.objects.exists()


# A mail server in trouble


def test_a_mail_server_that_is_down_disturbs_no_refresh_and_the_mail_comes_later(
    fake_salesforce: FakeSalesforce, row: SalesforceConnection, clock: Clock, mail_server: MailServer
) -> None:
    well = connect_reader(fake_salesforce, "grace")
    mail_server.is_down = True
    die(fake_salesforce, row)
    clock.ahead += WINDOW

    down = send_notices()
    refreshed = fare(well)
    mail_server.is_down = False
    clock.ahead += WINDOW

    assert (down, refreshed) == ({"failed": 1}, "ok")
    assert send_notices() == {"sent": 1}


def test_one_bad_address_stops_no_other(clock: Clock, mail_server: MailServer) -> None:
    mail_server.refused = {"nobody@example.com"}
    for name in ("ada", "nobody", "grace"):
        flag(user=make_user(email=f"{name}@example.com"))
    clock.ahead += WINDOW

    assert send_notices() == {"sent": 2, "failed": 1}
    assert readers() == ["ada@example.com", "grace@example.com"]


def test_a_run_tries_each_once_however_short_the_pause_is(
    clock: Clock, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_sf_oauth.models.notice.full_jitter", lambda *args: 0.0)
    mail_server.is_down = True
    flag()
    clock.ahead += WINDOW

    assert send_notices() == {"failed": 1}
    mail_server.is_down = False
    assert send_notices() == {"sent": 1}


def test_a_run_ends_when_others_claim_all_that_it_sees(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NoticeQuerySet, "claim", lambda self, notice, now: False)  # as in an old snapshot
    flag()
    clock.ahead += WINDOW

    assert send_notices() == {}


def test_a_run_gives_in_when_all_fail(clock: Clock, mail_server: MailServer) -> None:
    mail_server.is_down = True
    for _ in range(notices.IN_A_ROW + 3):
        flag()
    clock.ahead += WINDOW

    assert send_notices() == {"failed": notices.IN_A_ROW}


def test_a_mail_that_never_goes_is_given_up(
    clock: Clock, mail_server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    row = flag()
    mail_server.is_down = True
    counts: Counter[str] = Counter()

    for _ in range(TRIES + 5):
        clock.ahead += timedelta(days=1)
        counts += send_notices()

    assert counts == {"failed": TRIES - 1, "given_up": 1}
    assert mail_server.asked == TRIES
    assert f"event=notice_given_up connection={row.uuid} error=OSError" in caplog.text
    assert "@" not in caplog.text


def test_a_worker_killed_before_it_hands_the_mail_over_leaves_it_to_another(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag()
    clock.ahead += WINDOW
    with monkeypatch.context() as patch:
        patch.setattr(notices, "reconnect_mail", lambda *args: exit())
        with pytest.raises(SystemExit):
            send_notices()

    at_once = send_notices()
    clock.ahead += CLAIMED_FOR

    assert (at_once, send_notices()) == ({}, {"sent": 1})


def test_an_incident_that_ends_while_its_mail_is_claimed_is_told_to_nobody(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = flag()
    clock.ahead += WINDOW
    claim = NoticeQuerySet.claim

    def and_end(*args: Any) -> bool:
        claimed = claim(*args)
        record(row, Kind.RECOVERED)
        return claimed

    monkeypatch.setattr(NoticeQuerySet, "claim", and_end)

    assert send_notices() == {"over": 1}


def test_two_runs_at_once_send_each_once(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        flag()
    clock.ahead += WINDOW
    tell, nested = notices._tell, list[Counter[str]]()

    def during(notice: Notice) -> str:
        if not nested:
            nested.append(Counter())
            nested.append(send_notices())
        return tell(notice)

    monkeypatch.setattr(notices, "_tell", during)

    assert (send_notices(), nested[1]) == ({"sent": 1}, {"sent": 3})


def test_a_notice_names_its_connection() -> None:
    row = flag()

    assert str(Notice.objects.get()) == str(row.pk)
