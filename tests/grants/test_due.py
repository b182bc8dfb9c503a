"""When a connection is due, and what is believed of its sessions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_sf_oauth.grants.due import (
    AHEAD,
    IDLE_RULE,
    IDLE_SPREAD,
    IN_USE,
    LONGEST,
    SAFE_SHARE,
    SHORTEST,
    SOONEST,
    SPREAD,
    TOUCH_AT_MOST,
    lived_on,
    next_refresh_at,
    pause_of,
    regrown,
    shortened,
    touch_interval,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LIFE = timedelta(hours=2)
PAUSE = timedelta(days=7)

uuids = st.uuids(version=4)
lives = st.timedeltas(SHORTEST, LONGEST)
ages = st.timedeltas(timedelta(0), timedelta(days=40))
pauses = st.timedeltas(timedelta(hours=1), IDLE_RULE * SAFE_SHARE)


def wait(
    last_used_at: datetime | None, uuid: UUID | None = None, *, refreshed: timedelta = timedelta(0)
) -> timedelta:
    due = next_refresh_at(
        uuid=uuid or UUID(int=0),
        now=NOW,
        refreshed_at=NOW - refreshed,
        expires_at=NOW + LIFE,
        last_used_at=last_used_at,
        pause=PAUSE,
    )
    return due - NOW


# Two tiers


def test_a_connection_in_use_is_refreshed_ahead_of_expiry() -> None:
    assert wait(NOW - timedelta(hours=23)) == LIFE * AHEAD


@pytest.mark.parametrize("last_used_at", [None, NOW - timedelta(days=1)], ids=["never", "yesterday"])
def test_an_idle_connection_gets_a_heartbeat(last_used_at: datetime | None) -> None:
    assert wait(last_used_at) == PAUSE


def test_no_use_puts_the_heartbeat_off() -> None:
    """The refresh token of a session that slides on for weeks would die of the rule for unused ones."""
    assert wait(NOW, refreshed=PAUSE - timedelta(minutes=5)) == timedelta(minutes=5)
    assert wait(NOW, refreshed=PAUSE * 2) == timedelta(0)


def test_a_token_that_lives_no_longer_is_due_soon_and_not_again_and_again() -> None:
    due = next_refresh_at(
        uuid=UUID(int=7), now=NOW, refreshed_at=NOW, expires_at=NOW - LIFE, last_used_at=NOW, pause=PAUSE
    )

    assert due == NOW + SOONEST


@given(uuid=uuids, life=lives, pause=pauses, refreshed=ages, used=ages)
def test_it_is_never_due_later_than_its_tier_allows(
    uuid: UUID, life: timedelta, pause: timedelta, refreshed: timedelta, used: timedelta
) -> None:
    due = next_refresh_at(
        uuid=uuid,
        now=NOW,
        refreshed_at=NOW - refreshed,
        expires_at=NOW + life,
        last_used_at=NOW - used,
        pause=pause,
    )

    assert NOW <= due <= max(NOW, NOW - refreshed + pause)
    if used < IN_USE:
        assert due < NOW + life


@given(uuid=uuids)
def test_the_spread_is_stable_and_bounded(uuid: UUID) -> None:
    assert wait(None, uuid) == wait(None, uuid)
    assert PAUSE * (1 - IDLE_SPREAD) <= wait(None, uuid) <= PAUSE
    assert LIFE * AHEAD * (1 - SPREAD) <= wait(NOW, uuid) <= LIFE * AHEAD


def test_connections_made_together_do_not_fall_due_together() -> None:
    step = 2**32 // 10_000
    seconds = {wait(None, UUID(int=step * number)) // timedelta(seconds=1) for number in range(10_000)}

    assert len(seconds) == 10_000


# The longest pause


@pytest.mark.parametrize(
    ("heartbeat", "limit", "pause"),
    [
        (timedelta(days=7), None, timedelta(days=7)),
        (timedelta(days=40), None, timedelta(days=15)),
        (timedelta(days=7), timedelta(days=90), timedelta(days=7)),
        (timedelta(days=7), timedelta(days=7), timedelta(days=3.5)),
        (timedelta(days=1), timedelta(days=7), timedelta(days=1)),
    ],
    ids=["as-set", "inside-the-30-days", "a-longer-policy", "inside-the-policy", "shorter-anyway"],
)
def test_a_heartbeat_is_well_inside_what_ends_unused_tokens(
    heartbeat: timedelta, limit: timedelta | None, pause: timedelta
) -> None:
    assert pause_of(heartbeat, limit) == pause


# Sessions that slide


def test_a_use_proves_half_a_life() -> None:
    end = NOW + LIFE

    assert lived_on(used_at=NOW + LIFE / 4, expires_at=end, life=LIFE) == end
    assert lived_on(used_at=NOW + LIFE * 3 / 4, expires_at=end, life=LIFE) == NOW + LIFE * 5 / 4


def test_a_use_after_the_end_proves_nothing() -> None:
    assert lived_on(used_at=NOW, expires_at=NOW, life=LIFE) == NOW


@given(life=lives, gaps=st.lists(st.timedeltas(timedelta(seconds=1), timedelta(hours=13)), max_size=60))
def test_no_session_is_believed_to_live_longer_than_salesforce_lets_it(
    life: timedelta, gaps: list[timedelta]
) -> None:
    """Against Salesforce's own rule, whichever of the uses are noted."""
    stamp = noted = used = NOW
    believed = NOW + life
    for gap in gaps:
        used += gap
        if used >= stamp + life:
            break
        if used - stamp > life / 2:
            stamp = used
        if used - noted >= touch_interval(life):
            noted, believed = used, lived_on(used_at=used, expires_at=believed, life=life)

        assert believed <= stamp + life


@given(uuid=uuids, life=lives)
def test_while_the_use_goes_on_the_next_note_comes_before_the_refresh(uuid: UUID, life: timedelta) -> None:
    now, end = NOW, NOW + life
    for _ in range(20):
        due = next_refresh_at(
            uuid=uuid, now=now, refreshed_at=NOW, expires_at=end, last_used_at=now, pause=PAUSE * 2
        )
        now += touch_interval(life)

        assert now < due
        end = lived_on(used_at=now, expires_at=end, life=life)


def test_a_use_is_noted_once_an_hour_at_most() -> None:
    assert touch_interval(LONGEST) == TOUCH_AT_MOST
    assert touch_interval(LIFE) == timedelta(minutes=30)


# Lessons


def test_an_early_refusal_shortens_what_is_believed_to_the_age() -> None:
    assert shortened(LIFE, age=timedelta(minutes=70)) == timedelta(minutes=70)


def test_one_lesson_halves_a_life_at_most() -> None:
    assert shortened(LIFE, age=timedelta(minutes=20)) == timedelta(hours=1)
    assert shortened(timedelta(minutes=20), age=timedelta(minutes=15)) == SHORTEST


@pytest.mark.parametrize(
    "age",
    [timedelta(minutes=-5), timedelta(0), SHORTEST - timedelta(seconds=1), LIFE, timedelta(days=3)],
    ids=["clock-set-back", "at-once", "before-any-timeout", "in-time", "after-a-long-sleep"],
)
def test_what_no_timeout_explains_teaches_nothing(age: timedelta) -> None:
    assert shortened(LIFE, age=age) is None


@given(life=lives, all_ages=st.lists(ages, max_size=30))
def test_no_lessons_lead_below_the_shortest_timeout(life: timedelta, all_ages: list[timedelta]) -> None:
    for age in all_ages:
        taught = shortened(life, age=age)

        assert taught is None or max(SHORTEST, life / 2) <= taught < life
        life = taught or life


def test_a_lesson_is_forgotten_bit_by_bit() -> None:
    learned: timedelta | None = LIFE / 2
    believed = []
    while learned := regrown(learned, full=LIFE):
        believed.append(learned)

    assert believed == sorted(believed)
    assert len(believed) == 14
    assert believed[-1] < LIFE


def test_without_a_lesson_nothing_grows() -> None:
    assert regrown(None, full=LIFE) is None
