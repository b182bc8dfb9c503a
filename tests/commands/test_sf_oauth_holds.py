from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import load_command_class
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from django_sf_oauth.exceptions import TemporarilyUnavailable
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.management.command import operator
from django_sf_oauth.models import ConnectionEvent, Hold, SalesforceConnection
from tests.commands.conftest import Run
from tests.commands.test_sf_oauth_revoke import Terminal
from tests.factories import make_connection

pytestmark = pytest.mark.django_db

GUARD = "fleet:default"


@pytest.fixture
def guard() -> Hold:
    """A fleet guard that has tripped, and two connections that wait."""
    for _ in range(2):
        make_connection(withheld="revoked")
    make_connection(withheld="revoked", app="other")
    now = timezone.now()
    return Hold.objects.create(scope=GUARD, reason="fleet_guard", until=now + timedelta(days=1), probe_at=now)


def stop(scope: str = "all", **values: Any) -> Hold:
    return Hold.objects.create(scope=scope, reason="incident", **values)


def flagged() -> int:
    return SalesforceConnection.objects.filter(status=Status.RECONNECT_REQUIRED, reason="revoked").count()


# Listing


def test_nothing_is_said_to_be_held_back_when_nothing_is(run: Run) -> None:
    stop(until=timezone.now())

    ran = run("sf_oauth_holds")

    assert (ran.code, ran.out) == (0, "Nothing is held back.\n")


def test_what_is_held_back_is_listed(run: Run, guard: Hold) -> None:
    stop()
    guard.until = datetime(2099, 12, 31, 23, 59, tzinfo=UTC)
    guard.save()

    ran = run("sf_oauth_holds")

    assert (ran.code, ran.out.splitlines()) == (
        0,
        [
            "all: incident, until it is released",
            "fleet:default: fleet_guard, until 2099-12-31 23:59 UTC, 2 connections wait",
        ],
    )


def test_the_list_comes_as_json(run: Run, guard: Hold) -> None:
    host = stop("host:login.salesforce.com")

    ran = run("sf_oauth_holds", "--json")

    first, second = ran.json
    assert (first["scope"], first["reason"], first["waiting"]) == (GUARD, "fleet_guard", 2)
    assert (second["scope"], second["until"], second["waiting"]) == (host.scope, None, 0)
    assert parse_datetime(first["since"])
    assert parse_datetime(first["until"])
    assert run("sf_oauth_holds", "--json", "--release", GUARD, host.scope, "--yes").code == 0


def test_nothing_as_json_is_an_empty_list(run: Run) -> None:
    assert run("sf_oauth_holds", "--json").json == []


def test_the_list_says_who_has_stopped_it(run: Run) -> None:
    stop(set_by="alice")

    assert run("sf_oauth_holds").out == "all: incident by alice, until it is released\n"


# Stopping


def test_one_command_stops_everything(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = make_connection()
    monkeypatch.setenv("SUDO_USER", "alice")

    ran = run("sf_oauth_holds", "--stop", "all", "--yes", "--reason", "incident 4711")

    hold = Hold.objects.get()
    assert ran.code == 0
    assert ran.out == "connections: 1\nstopped: 1\nTo go on: manage.py sf_oauth_holds --release all\n"
    assert (hold.scope, hold.reason, hold.set_by, hold.until) == ("all", "incident 4711", "alice", None)
    with pytest.raises(TemporarilyUnavailable):
        connection.bearer()


def test_what_the_command_stopped_it_releases(run: Run) -> None:
    connection = make_connection()
    run("sf_oauth_holds", "--stop", "app:default", "org:00D000000000001", "--yes")

    run("sf_oauth_holds", "--release", "app:default", "org:00D000000000001EAA")

    assert connection.bearer()


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("app:nope", "There is no connected app 'nope': the settings have default, other, public."),
        ("org:00D000000000001AAA", "not a Salesforce id"),
        ("org:00D123", "not a Salesforce id"),
        ("org:005000000000001", "none of: all, app:ALIAS, org:00D"),
        ("everything", "none of: all, app:ALIAS, org:00D"),
        ("host:login.salesforce.com", "none of: all, app:ALIAS, org:00D"),
        ("fleet:default", "none of: all, app:ALIAS, org:00D"),
    ],
)
def test_a_mistyped_scope_stops_nothing_and_says_what_there_is(run: Run, scope: str, said: str) -> None:
    ran = run("sf_oauth_holds", "--stop", "all", scope, "--yes")

    assert ran.code == 2
    assert said in ran.said
    assert not Hold.objects.exists()


def test_a_stop_can_end_by_itself(run: Run) -> None:
    before = timezone.now()

    ran = run("sf_oauth_holds", "--stop", "all", "--for", "2h", "--yes", "--json")

    until = Hold.objects.get().until
    assert ran.json == {"connections": 0, "stopped": 1}
    assert until is not None
    assert timedelta(hours=2) <= until - before < timedelta(hours=3)


@pytest.mark.parametrize("lasts", ["2", "h", "0m", "2w", "-1h", "1.5h"])
def test_a_time_that_is_none_is_wrong_usage(run: Run, lasts: str) -> None:
    ran = run("sf_oauth_holds", "--stop", "all", f"--for={lasts}", "--yes")

    assert "expected a time such as 30m" in ran.said
    assert not Hold.objects.exists()


@pytest.mark.parametrize(("first", "then"), [(None, "1h"), ("2h", "1h"), ("1h", "2h"), ("1h", None)])
def test_a_stop_is_never_cut_short_by_another(run: Run, first: str | None, then: str | None) -> None:
    longest = None if None in (first, then) else timedelta(hours=2)
    for lasts in (first, then):
        run("sf_oauth_holds", "--stop", "all", "--yes", *(["--for", lasts] if lasts else []))

    until = Hold.objects.get().until
    left = until - timezone.now() if until else None
    assert (left and round(left / timedelta(hours=1))) == (longest and longest // timedelta(hours=1))


def test_a_dry_run_stops_nothing(run: Run) -> None:
    make_connection()
    make_connection(app="other")
    make_connection(status=Status.DISCONNECTED)

    ran = run("sf_oauth_holds", "--stop", "app:default", "--dry-run", "--json")

    assert ran.json == {"connections": 1, "to_stop": 1}
    assert not Hold.objects.exists()


@pytest.mark.parametrize(("answer", "code", "stopped"), [("y", 0, True), ("n", 1, False)])
def test_somebody_at_the_terminal_is_asked_before_it_stops(
    run: Run, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, stopped: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))

    ran = run("sf_oauth_holds", "--stop", "all")

    assert (ran.code, Hold.objects.exists()) == (code, stopped)


@pytest.mark.parametrize("command", ["sf_oauth_holds", "sf_oauth_revoke"])
def test_no_mistake_in_the_settings_is_in_the_way_on_the_worst_day(command: str) -> None:
    assert not load_command_class("django_sf_oauth", command).requires_system_checks


def test_a_user_without_a_name_is_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr("getpass.getuser", nameless)

    assert operator() == f"uid {os.getuid()}"


# Releasing


def test_a_hold_is_released_without_a_question_when_nobody_is_flagged(run: Run) -> None:
    stop()
    stop("org:00D000000000001EAA")

    ran = run("sf_oauth_holds", "--release", "all")

    assert (ran.code, ran.out) == (0, "flagged: 0\nreleased: 1\n")
    assert [hold.scope for hold in Hold.objects.all()] == ["org:00D000000000001EAA"]


def test_releasing_a_fleet_guard_flags_those_that_wait(run: Run, guard: Hold) -> None:
    ran = run("sf_oauth_holds", "--release", GUARD, "--yes", "--json")

    assert (ran.code, ran.json) == (0, {"flagged": 2, "released": 1})
    assert flagged() == 2
    assert ConnectionEvent.objects.filter(kind="reconnect_required", reason="revoked").count() == 2


def test_releasing_it_twice_flags_nobody_twice(run: Run, guard: Hold) -> None:
    run("sf_oauth_holds", "--release", GUARD, "--yes")

    again = run("sf_oauth_holds", "--release", GUARD, "--json")

    assert (again.code, again.json) == (0, {"flagged": 0, "released": 1})
    assert ConnectionEvent.objects.count() == 2


def test_nobody_to_ask_means_nobody_is_flagged(run: Run, guard: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)

    ran = run("sf_oauth_holds", "--release", GUARD)

    assert (ran.code, flagged()) == (2, 0)


@pytest.mark.parametrize(("answer", "code", "number"), [("y", 0, 2), ("n", 1, 0)])
def test_somebody_at_the_terminal_is_asked(
    run: Run, guard: Hold, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, number: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))

    ran = run("sf_oauth_holds", "--release", GUARD)

    assert (ran.code, flagged()) == (code, number)


def test_a_dry_run_says_what_would_be_done(run: Run, guard: Hold) -> None:
    stop()

    ran = run("sf_oauth_holds", "--release", GUARD, "all", "--dry-run", "--json")

    assert (ran.code, ran.json) == (0, {"to_flag": 2, "to_release": 2})
    assert (flagged(), Hold.objects.in_force(timezone.now()).count()) == (0, 2)


def test_what_is_not_held_cannot_be_released(run: Run) -> None:
    stop()
    stop("app:default", until=timezone.now())

    ran = run("sf_oauth_holds", "--release", "all", "app:default", "nonsense", "--yes")

    assert (ran.code, ran.said) == (2, "Not held: app:default, nonsense.")
    assert Hold.objects.filter(scope="all").exists()


def test_a_guard_of_an_app_that_is_no_longer_in_the_settings_cannot_be_released(run: Run) -> None:
    stop("fleet:gone")

    ran = run("sf_oauth_holds", "--release", "fleet:gone")

    assert (ran.code, "no connected app 'gone'" in ran.said) == (1, True)
