"""In which order sweeps look at what is due when several are at work."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import chain, zip_longest
from typing import Any

import pytest

from django_sf_oauth.models import SalesforceConnection, due_order
from django_sf_oauth.models.clock import database_now
from django_sf_oauth.models.due_order import DueOrder
from django_sf_oauth.models.due_rows import Due
from django_sf_oauth.services import sweep
from django_sf_oauth.services.pace import Pace
from tests.factories import make_connection, make_user

pytestmark = pytest.mark.django_db

PAGE, STRETCHES = 4, 3
WINDOW = PAGE * STRETCHES


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_order, "PAGE", PAGE)
    monkeypatch.setattr(due_order, "STRETCHES", STRETCHES)
    monkeypatch.setattr(due_order, "FEW", 1)


@pytest.fixture
def last_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for the lot: of a few stretches the last one comes first."""
    monkeypatch.setattr(random, "sample", lambda found, number: found[::-1])


def make_due(number: int, *, apart: float = 1.0) -> list[int]:
    """Keys in the order in which they fell due, so many seconds apart; who has waited longest came last."""
    user, now = make_user(), database_now("default")
    ages = [timedelta(seconds=60 + apart * place) for place in range(number)]
    rows = [make_connection(user=user, next_refresh_at=now - age) for age in ages]
    return [row.pk for row in (reversed(rows) if apart else rows)]


def claimed(pks: Sequence[int]) -> None:
    until = database_now("default") + sweep.CLAIMED_FOR
    SalesforceConnection.objects.filter(pk__in=pks).update(claimed_until=until)


def numbers(order: Iterator[Due], due: list[int]) -> list[int]:
    return [due.index(one.pk) for one in order]


def order_after_a_collision(due: list[int], *, taken: Sequence[int] = ()) -> list[int]:
    """What comes after the first one, of which somebody else was ahead."""
    order = DueOrder("default", database_now("default"))
    looking = iter(order)
    next(looking)
    claimed([due[number] for number in taken])
    order.give_way()
    return numbers(looking, due)


def test_who_is_alone_goes_from_the_longest_overdue_to_the_last() -> None:
    due = make_due(30)

    assert numbers(iter(DueOrder("default", database_now("default"))), due) == list(range(30))


def test_who_meets_another_goes_on_by_lot_and_leaves_nothing_out() -> None:
    due = make_due(40)

    assert sorted(order_after_a_collision(due)) == list(range(1, 40))


def test_a_site_without_time_zones_goes_on_by_lot_alike(settings: Any) -> None:
    settings.USE_TZ = False
    due = make_due(40)

    assert sorted(order_after_a_collision(due)) == list(range(1, 40))


@pytest.mark.usefixtures("last_first")
def test_only_the_next_few_pages_are_mixed_and_then_the_order_is_as_before() -> None:
    due = make_due(40)

    found = order_after_a_collision(due)

    assert found[:3] == [1, 2, 3]  # which were read before
    mixed = [number for number in found if number > 3]
    assert mixed != sorted(mixed)
    end = 3 + WINDOW  # the first stretch ends before the seventh
    assert mixed[-(40 - end) :] == list(range(end, 40))


@pytest.mark.usefixtures("last_first")
def test_what_another_has_begun_comes_after_the_next_few_pages() -> None:
    due = make_due(40)

    found = order_after_a_collision(due, taken=[7, 8])  # the second stretch begins with the seventh

    assert found.index(9) > max(found.index(number) for number in range(11, 27))
    assert sorted(found) == [*range(1, 7), *range(9, 40)]


@pytest.mark.usefixtures("last_first")
def test_what_another_has_begun_and_ended_is_not_read_again_by_this_sweep() -> None:
    due = make_due(40)

    found = order_after_a_collision(due, taken=[7, 10])

    assert sorted(found) == [*range(1, 7), *range(11, 40)]
    assert 8 in numbers(iter(DueOrder("default", database_now("default"))), due)  # the next one sees to it


@pytest.mark.usefixtures("last_first")
def test_what_is_begun_all_the_way_is_looked_at_by_lot_for_some_rounds_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(due_order, "ROUNDS", 2)
    due = make_due(60)
    begun = [number for start in range(7, 3 + 2 * WINDOW, PAGE) for number in (start, start + 1)]

    found = order_after_a_collision(due, taken=begun)

    assert found[-(60 - 3 - 2 * WINDOW) :] == list(range(3 + 2 * WINDOW, 60))
    assert sorted(found) == [number for number in range(1, 60) if number not in begun]


def test_what_fell_due_at_one_moment_is_read_in_order_all_the_same() -> None:
    due = make_due(20, apart=0)

    assert order_after_a_collision(due) == list(range(1, 20))


def test_a_stretch_with_more_than_a_page_is_read_page_by_page() -> None:
    due = [*make_due(PAGE, apart=10), *make_due(30, apart=0)]

    assert sorted(order_after_a_collision(due)) == list(range(1, PAGE + 30))


def test_sweeps_at_one_moment_try_less_often_for_what_another_has_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_order, "PAGE", 10)
    monkeypatch.setattr(due_order, "STRETCHES", 8)
    random.seed(240)
    due = make_due(240)

    in_vain = four_sweeps_in_step(due, monkeypatch)
    SalesforceConnection.objects.update(claimed_until=None)
    monkeypatch.setattr(DueOrder, "give_way", lambda order: None)
    all_in_due_order = four_sweeps_in_step(due, monkeypatch)

    assert in_vain < 0.8 * all_in_due_order


def four_sweeps_in_step(due: list[int], monkeypatch: pytest.MonkeyPatch) -> int:
    """How many claims got nothing, when each takes one batch after the other; all is claimed once."""
    got: list[int] = []
    claim = Pace.claim

    def counted(pace: Pace, chosen: Sequence[Due]) -> list[int]:
        ids = claim(pace, chosen)
        got.append(len(ids))
        return ids

    with monkeypatch.context() as patch:
        patch.setattr(Pace, "claim", counted)
        batches = zip_longest(*(sweep.claims(batch=5) for _ in range(4)), fillvalue=[])
        assert sorted(chain.from_iterable(chain.from_iterable(batches))) == sorted(due)
    return got.count(0)
