"""What use and refusals say about the life of a session, and when the connection is due for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from django_sf_oauth.conf import get_app
from django_sf_oauth.exceptions import ReconnectRequired
from django_sf_oauth.grants.due import AHEAD, IDLE_SPREAD
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.models.lifetime import Refused, learn
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection
from tests.fleet import connect_one

pytestmark = pytest.mark.django_db(transaction=True)

Status = SalesforceConnection.Status
Call = Callable[[SalesforceConnection], int]

HALF_A_MINUTE = timedelta(seconds=30)  # more than a test takes


class Clock:
    """The time here and at Salesforce."""

    def __init__(self, fake: FakeSalesforce) -> None:
        self.fake = fake
        self.gone = timedelta(0)
        self.real = timezone.now

    def __call__(self) -> datetime:
        return self.real() + self.gone

    def advance(self, **delta: float) -> None:
        self.gone += timedelta(**delta)
        self.fake.advance(timedelta(**delta).total_seconds())


@pytest.fixture
def clock(fake_salesforce: FakeSalesforce, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(fake_salesforce)
    monkeypatch.setattr(timezone, "now", clock)
    return clock


@pytest.fixture
def row(clock: Clock) -> SalesforceConnection:
    """An idle connection that was refreshed just now."""
    connect_one(clock.fake).refresh()
    return stored()


def stored() -> SalesforceConnection:
    return SalesforceConnection.objects.get()


def call(row: SalesforceConnection) -> int:
    return row.client().get("limits").status_code


def acall(row: SalesforceConnection) -> int:
    async def ask() -> int:
        async with row.async_client() as client:
            return (await client.get("limits")).status_code

    return async_to_sync(ask)()


def is_about(found: Any, expected: Any) -> bool:
    return bool(abs(found - expected) < HALF_A_MINUTE)


# Tiers


def test_an_idle_connection_waits_for_its_heartbeat(row: SalesforceConnection, clock: Clock) -> None:
    assert row.next_refresh_at is not None
    assert row.next_refresh_at - clock() > get_app().heartbeat * IDLE_SPREAD - HALF_A_MINUTE


def test_its_first_use_brings_it_among_those_that_are_refreshed_ahead(
    row: SalesforceConnection, clock: Clock
) -> None:
    row.bearer()

    known = stored()
    assert known.next_refresh_at is not None
    assert clock() < known.next_refresh_at < clock() + get_app().session_lifetime * AHEAD
    assert (known.expires_at, known.last_used_at) == (row.expires_at, row.last_used_at)
    assert known.next_refresh_at == row.next_refresh_at


def test_one_that_was_not_used_for_a_day_falls_back_to_the_heartbeat(
    row: SalesforceConnection, clock: Clock
) -> None:
    row.bearer()
    clock.advance(hours=25)

    row.refresh()

    due = stored().next_refresh_at
    assert due is not None
    assert due - clock() > timedelta(days=3)


def test_a_use_gives_a_due_time_to_one_that_has_none(clock: Clock) -> None:
    row = make_connection()

    row.bearer()

    known = stored()
    assert known.expires_at is None
    assert known.next_refresh_at is not None
    assert known.next_refresh_at < clock() + get_app().session_lifetime


@pytest.mark.parametrize(
    "values",
    [{"withheld": "revoked"}, {"app": "unknown"}, {"status": Status.BLOCKED}],
    ids=["withheld", "unknown-app", "blocked-meanwhile"],
)
def test_what_has_a_due_time_of_its_own_keeps_it(
    row: SalesforceConnection, clock: Clock, values: dict[str, Any]
) -> None:
    tomorrow = clock() + timedelta(days=1)
    for name in set(values) - {"status"}:
        setattr(row, name, values[name])
    SalesforceConnection.objects.update(next_refresh_at=tomorrow, **values)

    row.bearer()

    known = stored()
    assert known.last_used_at == row.last_used_at
    assert known.next_refresh_at == tomorrow


# Sessions that slide


def test_while_it_is_used_a_session_is_not_refreshed(row: SalesforceConnection, clock: Clock) -> None:
    """Eight hours of it, with a session that would be over after two."""
    before = clock.fake.token_requests

    for _ in range(48):
        assert call(stored()) == 200
        clock.advance(minutes=10)
        assert not SalesforceConnection.objects.due(clock()).exists()

    assert clock.fake.token_requests == before
    assert row.generation == stored().generation


def test_soon_after_the_use_has_ended_it_is_refreshed_while_the_session_lives(
    row: SalesforceConnection, clock: Clock
) -> None:
    clock.advance(minutes=80)
    call(row)

    known = stored()
    assert known.expires_at is not None
    assert is_about(known.expires_at, clock() + timedelta(hours=1))
    assert known.next_refresh_at is not None
    assert known.next_refresh_at < known.expires_at


def test_a_token_of_a_fixed_life_does_not_slide(row: SalesforceConnection, clock: Clock) -> None:
    SalesforceConnection.objects.update(slides=False)
    clock.advance(minutes=80)
    known = stored()

    known.bearer()

    assert stored().expires_at == row.expires_at
    clock.advance(minutes=45)
    noted = stored().last_used_at
    stored().bearer()
    assert stored().last_used_at == noted  # once an hour is enough for it


def test_the_use_of_an_old_token_says_nothing_of_a_new_one(row: SalesforceConnection, clock: Clock) -> None:
    clock.advance(minutes=80)
    stored().refresh()
    expires_at = stored().expires_at
    clock.advance(minutes=100)

    row.bearer()

    known = stored()
    assert known.expires_at == expires_at
    assert known.last_used_at == row.last_used_at
    assert row.expires_at != expires_at


def test_a_connection_that_is_gone_is_noted_nowhere(row: SalesforceConnection) -> None:
    SalesforceConnection.objects.all().delete()

    assert row.bearer()


# Lessons


@pytest.mark.parametrize("call", [call, acall], ids=["sync", "async"])
def test_a_session_that_ends_early_shortens_what_is_believed(
    row: SalesforceConnection, clock: Clock, call: Call
) -> None:
    clock.advance(minutes=70)
    clock.fake.expire_access_tokens()

    assert call(row) == 200

    known = stored()
    assert known.learned_lifetime is not None
    assert is_about(known.learned_lifetime, timedelta(minutes=70))
    assert known.expires_at == known.last_refreshed_at + known.learned_lifetime  # type: ignore[operator]
    assert known.next_refresh_at is not None
    assert known.next_refresh_at < clock() + timedelta(minutes=70) * AHEAD + HALF_A_MINUTE
    assert (row.learned_lifetime, row.expires_at) == (known.learned_lifetime, known.expires_at)


def test_the_next_sessions_are_believed_to_live_a_little_longer_each(
    row: SalesforceConnection, clock: Clock
) -> None:
    SalesforceConnection.objects.update(learned_lifetime=timedelta(minutes=100))

    believed = []
    for _ in range(4):
        row.refresh()
        known = stored()
        believed.append((known.learned_lifetime, known.expires_at - known.last_refreshed_at))  # type: ignore[operator]

    assert believed[:2] == [(timedelta(minutes=105), timedelta(minutes=105)), (timedelta(minutes=110.25),) * 2]
    assert believed[-1] == (None, get_app().session_lifetime)
    assert row.learned_lifetime is None


@pytest.mark.parametrize(
    "minutes", [5, 121, 60 * 24 * 20], ids=["ended-by-an-admin", "in-time", "the-site-was-asleep"]
)
def test_what_is_no_early_end_of_a_session_teaches_nothing(
    row: SalesforceConnection, clock: Clock, minutes: int
) -> None:
    clock.advance(minutes=minutes)
    clock.fake.expire_access_tokens()

    assert call(row) == 200
    assert stored().learned_lifetime is None


def test_a_dead_grant_teaches_nothing(row: SalesforceConnection, clock: Clock) -> None:
    clock.advance(minutes=70)
    clock.fake.revoke()

    with pytest.raises(ReconnectRequired):
        call(row)

    assert stored().learned_lifetime is None


def test_a_token_that_somebody_had_replaced_teaches_nothing(row: SalesforceConnection, clock: Clock) -> None:
    clock.advance(minutes=70)
    clock.fake.expire_access_tokens()
    stored().refresh()
    clock.advance(seconds=1)

    assert call(row) == 200
    assert row.generation == stored().generation
    assert stored().learned_lifetime is None


def test_a_token_of_a_fixed_life_teaches_nothing(row: SalesforceConnection, clock: Clock) -> None:
    SalesforceConnection.objects.update(slides=False)
    clock.advance(minutes=70)
    clock.fake.expire_access_tokens()

    assert call(stored()) == 200
    assert stored().learned_lifetime is None


def test_of_many_that_were_refused_one_teaches_the_lesson(row: SalesforceConnection, clock: Clock) -> None:
    lesson = Refused(life=timedelta(hours=2), age=timedelta(minutes=40), at=clock() - timedelta(hours=1))
    older = Refused(life=timedelta(hours=2), age=timedelta(minutes=80), at=lesson.at)

    for refused in (lesson, lesson, older):
        learn(row, refused)

    assert stored().learned_lifetime == timedelta(hours=1)


@pytest.mark.parametrize(
    "values", [{"generation": 7}, {"app": "unknown"}], ids=["renewed-since", "no-longer-in-the-settings"]
)
def test_a_lesson_about_something_else_is_not_written(
    row: SalesforceConnection, clock: Clock, values: dict[str, Any]
) -> None:
    lesson = Refused(life=timedelta(hours=2), age=timedelta(minutes=40), at=clock() - timedelta(hours=1))
    SalesforceConnection.objects.update(**values)

    learn(row, lesson)

    assert stored().learned_lifetime is None
