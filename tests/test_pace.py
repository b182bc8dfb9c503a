"""How many of an app a sweep may claim."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_sf_oauth.models import Hold, budget
from django_sf_oauth.models.due_order import DueOrder
from django_sf_oauth.services import sweep
from tests.factories import make_connection, make_user

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


def set_rate(settings: Any, rate: str | None) -> None:
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "REFRESH_RATE": rate}


class Clock:
    def __init__(self) -> None:
        self.now = timezone.now()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sweep, "database_now", lambda alias: clock.now)
    return clock


@pytest.fixture
def due(clock: Clock) -> None:
    user = make_user()
    for _ in range(40):
        make_connection(user=user, next_refresh_at=clock.now - MINUTE)


def claimed() -> int:
    return sweep.refresh_due(lambda ids: None, batch=7)


def test_without_a_rate_all_is_claimed_and_nothing_noted(due: None) -> None:
    assert claimed() == 40
    assert not Hold.objects.exists()


@pytest.mark.parametrize(
    ("rate", "expected"),
    [("10/m", [10, 0, 10, 10]), ("1/s", [40, 0, 0, 0]), ("12/h", [12, 0, 0, 0]), ("0/s", [0, 0, 0, 0])],
)
def test_a_minute_or_a_window_is_claimed_in_advance_and_no_more(
    due: None, clock: Clock, settings: Any, rate: str, expected: list[int]
) -> None:
    set_rate(settings, rate)

    found = [claimed(), claimed()]
    for _ in range(2):
        clock.now += MINUTE
        found.append(claimed())

    assert found == expected


def test_what_a_rate_holds_back_is_not_taken_for_another_sweep(
    due: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[DueOrder] = []
    monkeypatch.setattr(DueOrder, "give_way", met.append)
    set_rate(settings, "2/m")

    assert claimed() == 2
    assert met == []


def test_a_rate_averages_out(due: None, clock: Clock, settings: Any) -> None:
    set_rate(settings, "4/m")
    found = []
    for _ in range(8):
        found.append(claimed())
        clock.now += MINUTE / 4

    assert found == [4, 1, 1, 1, 1, 1, 1, 1]


def test_what_was_not_used_is_not_saved_up(due: None, clock: Clock, settings: Any) -> None:
    set_rate(settings, "10/m")
    claimed()
    clock.now += 3 * MINUTE

    assert claimed() == 10


def test_each_app_and_each_host_has_a_pace_of_its_own(due: None, clock: Clock, settings: Any) -> None:
    user, late = make_user(), clock.now - MINUTE
    for _ in range(10):
        make_connection(user=user, next_refresh_at=late, login_url="https://test.salesforce.com")
        make_connection(user=user, next_refresh_at=late, app="other")
        make_connection(user=user, next_refresh_at=late, app="no longer in the settings")
    set_rate(settings, "5/m")

    assert claimed() == 5 + 5 + 5 + 10
    assert set(Hold.objects.values_list("scope", flat=True)) == {
        "rate:default:login.salesforce.com",
        "rate:default:test.salesforce.com",
        "rate:other:login.salesforce.com",
    }


def test_an_operator_who_releases_a_rate_meanwhile_stops_no_sweep(
    due: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_rate(settings, "10/m")
    monkeypatch.setattr(budget, "_locked", lambda holds: holds.none())

    assert sweep.refresh_due(lambda ids: None, batch=10, limit=10) == 10


def test_what_somebody_else_has_claimed_uses_up_nothing(due: None, settings: Any) -> None:
    set_rate(settings, "20/m")
    batches = sweep.claims(batch=10)
    next(batches)

    other = sweep.refresh_due(lambda ids: None, limit=5)
    rest = [len(ids) for ids in batches]

    assert (other, sum(rest)) == (5, 5)
