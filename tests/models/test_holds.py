"""What keeps a token request from being made, and who may test whether it still has to."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from django_sf_oauth.grants.contract import OPEN, Gate, Grant
from django_sf_oauth.models import Hold, holds
from tests.grants.memory import grant as make_grant

pytestmark = pytest.mark.django_db

committed = pytest.mark.django_db(transaction=True)

HOST = "host:login.salesforce.com"
PAUSE = timedelta(seconds=30)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """A time that stands still."""
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    return now


@pytest.fixture
def grant() -> Grant:
    return make_grant()


WITHHELD = make_grant(withheld="revoked")


def hold(scope: str, *, reason: str = "incident", until: datetime | None = None, **values: Any) -> Hold:
    return Hold.objects.create(scope=scope, reason=reason, until=until, **values)


def guard(now: datetime, *, probe_in: timedelta = timedelta(0), **values: Any) -> Hold:
    return hold("fleet:default", reason=holds.TRIPPED, probe_at=now + probe_in, **values)


def breaker(now: datetime, *, probe_in: timedelta = timedelta(0)) -> Hold:
    return hold(HOST, reason="breaker", until=now + timedelta(minutes=15), probe_at=now + probe_in)


# The gate


def test_where_nothing_is_held_the_gate_opens_for_one_query(grant: Grant, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        assert holds.gate(grant, forced=False) == OPEN


@pytest.mark.parametrize("forced", [False, True], ids=["scheduled", "asked for"])
@pytest.mark.parametrize(
    ("scope", "code"),
    [
        ("all", "stopped"),
        ("app:default", "stopped"),
        ("app:other", ""),
        ("org:00D000000000001EAA", "stopped"),
        ("org:00D000000000002EAA", ""),
        (HOST, "breaker_open"),
        ("host:test.salesforce.com", ""),
        ("fleet:default", ""),  # of this grant nothing is withheld
        ("alarm:default", ""),
    ],
)
def test_a_hold_closes_the_gate_to_what_is_in_its_scope(grant: Grant, scope: str, code: str, forced: bool) -> None:
    hold(scope)

    assert holds.gate(grant, forced=forced).closed == code


def test_a_hold_that_has_ended_closes_nothing(grant: Grant, now: datetime) -> None:
    hold("all", until=now)

    assert holds.gate(grant, forced=False) == OPEN


@pytest.mark.parametrize(
    ("probe_in", "lasts", "retry_after"),
    [(timedelta(seconds=20), None, 20.0), (None, PAUSE, 30.0), (None, None, None)],
    ids=["until it is tested", "until its end", "until it is lifted"],
)
def test_a_closed_gate_says_when_to_come_again(
    grant: Grant, now: datetime, probe_in: timedelta | None, lasts: timedelta | None, retry_after: float | None
) -> None:
    until = None if lasts is None else now + lasts
    hold(HOST, until=until, probe_at=None if probe_in is None else now + probe_in)

    assert holds.gate(grant, forced=False) == Gate(closed="breaker_open", retry_after=retry_after)


@pytest.mark.parametrize("forced", [False, True], ids=["scheduled", "asked for"])
def test_one_request_tests_a_breaker_after_each_pause(
    grant: Grant, now: datetime, forced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaker(now)

    first, second = holds.gate(grant, forced=forced), holds.gate(grant, forced=forced)
    monkeypatch.setattr(timezone, "now", lambda: now + PAUSE)
    later = holds.gate(grant, forced=forced)

    assert first == later == Gate(probes=(HOST,))
    assert second == Gate(closed="breaker_open", retry_after=30.0)


def test_the_pause_is_the_one_of_the_settings(grant: Grant, now: datetime, settings: Any) -> None:
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "BREAKER": {"pause": 7}}
    holds.hold_host(grant)

    assert holds.gate(grant, forced=False) == Gate(closed="breaker_open", retry_after=7.0)


def test_a_hold_is_tested_by_the_one_who_was_first(now: datetime) -> None:
    seen = breaker(now)

    tests = [Hold.objects.take_probe(seen, now, PAUSE) for _ in range(2)]

    assert tests == [True, False]


def test_who_was_not_first_finds_the_gate_closed(
    grant: Grant, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaker(now)
    monkeypatch.setattr(type(Hold.objects.all()), "take_probe", lambda *args: False)  # somebody was faster

    assert holds.gate(grant, forced=False) == Gate(closed="breaker_open", retry_after=1.0)


def test_the_fleet_guard_closes_the_gate_to_what_is_withheld_but_for_a_canary(grant: Grant, now: datetime) -> None:
    guard(now)

    assert holds.gate(grant, forced=False) == Gate()
    assert holds.gate(WITHHELD, forced=False) == Gate(probes=("fleet:default",))
    assert holds.gate(WITHHELD, forced=False) == Gate(closed="fleet_guard", retry_after=60.0)


def test_who_asks_now_passes_the_fleet_guard_and_tests_it(now: datetime) -> None:
    guard(now, probe_in=timedelta(seconds=50))

    assert holds.gate(WITHHELD, forced=True) == Gate(probes=("fleet:default",))


def test_a_guard_that_was_released_lets_everybody_ask(now: datetime) -> None:
    hold("fleet:default", reason="released", until=now + PAUSE)

    assert holds.gate(WITHHELD, forced=False) == Gate()


def test_a_request_that_another_hold_forbids_uses_up_no_test(grant: Grant, now: datetime) -> None:
    breaker(now)
    guard(now, probe_in=timedelta(seconds=50))

    assert holds.gate(WITHHELD, forced=False).closed == "fleet_guard"
    assert holds.gate(grant, forced=False) == Gate(probes=(HOST,))


def test_one_request_may_test_both(now: datetime) -> None:
    breaker(now)
    guard(now)

    assert holds.gate(WITHHELD, forced=False) == Gate(probes=(HOST, "fleet:default"))


# Setting and lifting


def test_a_hold_is_set_once_until_it_has_ended(now: datetime) -> None:
    ends = now + PAUSE

    assert holds.put("all", reason="a", until=ends)
    assert not holds.put("all", reason="b", until=ends)
    Hold.objects.update(until=now, created_at=now - PAUSE)
    assert holds.put("all", reason="c", until=ends)

    stored = Hold.objects.get()
    assert (stored.reason, stored.until, stored.created_at) == ("c", ends, now)


@committed
@pytest.mark.parametrize("ended", [False, True], ids=["new", "after another"])
def test_of_many_who_set_a_hold_at_once_one_has_set_it(ended: bool) -> None:
    if ended:
        hold("fleet:default", until=timezone.now())
    gate = threading.Barrier(4)

    def put(number: int) -> bool:
        try:
            gate.wait(60)
            return holds.put("fleet:default", reason=f"r{number}", until=timezone.now() + PAUSE)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as threads:
        won = list(threads.map(put, range(4)))

    assert sorted(won) == [False, False, False, True]
    assert Hold.objects.get().reason == f"r{won.index(True)}"


def test_who_loses_the_race_of_two_inserts_leaves_no_broken_transaction(
    now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold("all")
    monkeypatch.setattr(type(Hold.objects.all()), "exists", lambda rows: False)  # it came a moment later

    assert not holds.put("all", reason="x", until=now)
    assert Hold.objects.count() == 1


def test_lifting_ends_these_holds_and_no_others(now: datetime) -> None:
    breaker(now)
    guard(now)

    holds.lift(HOST)

    assert [one.scope for one in Hold.objects.all()] == ["fleet:default"]


def test_what_was_tested_ends_unless_an_operator_had_their_word_meanwhile(now: datetime) -> None:
    breaker(now)
    guard(now)
    Hold.objects.filter(scope="fleet:default").update(reason="released")

    holds.end_tested((HOST, "fleet:default"))

    assert [one.scope for one in Hold.objects.all()] == ["fleet:default"]


def test_whether_a_hold_is_in_force_depends_on_why_it_was_set(now: datetime) -> None:
    guard(now)

    assert holds.is_in_force("fleet:default", reason=holds.TRIPPED)
    assert not holds.is_in_force("fleet:default", reason="released")
    assert not holds.is_in_force("fleet:other", reason=holds.TRIPPED)


# The alarm


def test_an_incident_is_told_once_however_long_it_goes_on(now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    for minutes in range(0, 600, 20):  # a refusal each
        monkeypatch.setattr(timezone, "now", lambda at=now + timedelta(minutes=minutes): at)
        told.append(holds.alarm_is_new("default", "invalid_client"))

    assert told == [True] + [False] * 29


def test_a_refusal_after_an_hour_without_one_is_a_new_incident(
    now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = holds.alarm_is_new("default", "invalid_client")
    monkeypatch.setattr(timezone, "now", lambda: now + holds.INCIDENT)
    next_one = holds.alarm_is_new("default", "wrong_host")

    assert (first, next_one) == (True, True)
    assert Hold.objects.get().reason == "wrong_host"


def test_apps_have_incidents_of_their_own(now: datetime) -> None:
    assert holds.alarm_is_new("default", "invalid_client")
    assert holds.alarm_is_new("other", "invalid_client")


def test_an_alarm_that_somebody_set_without_an_end_is_no_news() -> None:
    hold("alarm:default")

    assert not holds.alarm_is_new("default", "invalid_client")
