from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from django_sf_oauth.grants.contract import Status
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
