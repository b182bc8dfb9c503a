from __future__ import annotations

import pytest

from django_sf_oauth.grants.pace import FASTER, FIRST, LATE, LONGEST, MEMORY, SHARE, SHORTEST, SLOWER, Pace


def test_the_first_look_is_soon_after_the_exchange_should_have_ended() -> None:
    pauses = [Pace(0.2).pause(0.05) for _ in range(100)]

    assert all(0.15 + 0.2 * LATE[0] <= pause <= 0.15 + 0.2 * LATE[1] for pause in pauses)
    assert len(set(pauses)) > 90


def test_the_first_look_is_not_late_where_exchanges_were_slow() -> None:
    assert Pace(30.0).pause(0.0) == FIRST


@pytest.mark.parametrize(
    ("under_way", "steady"),
    [(0.4, 0.2 * SHARE), (0.2, SHORTEST), (60.0, LONGEST)],
    ids=["usual", "short", "long"],
)
def test_then_it_looks_in_steps_that_grow_with_the_delay(under_way: float, steady: float) -> None:
    pauses = [Pace(0.2).pause(under_way) for _ in range(100)]

    assert all(steady / 2 <= pause <= steady * 1.5 for pause in pauses)
    assert len(set(pauses)) > 90  # two that wait do not look together


def test_it_learns_how_long_exchanges_take() -> None:
    pace = Pace(0.2)

    for _ in range(50):
        pace.learn(1.0)

    assert pace.expected == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("seen", "learnt"),
    [((0.21, 0.22), 0.21), ((3.0, 4.0), 0.2 * SLOWER), ((0.0, 0.1), 0.1), ((0.0, 5.0), 0.2 * FASTER)],
    ids=["longer", "much longer", "shorter", "nobody knows"],
)
def test_a_waiter_learns_as_much_as_it_saw(seen: tuple[float, float], learnt: float) -> None:
    pace = Pace(0.2)

    pace.learn_between(*seen)

    assert pace.expected == pytest.approx(0.2 + (learnt - 0.2) * MEMORY)


def test_an_exchange_that_took_no_time_leaves_something_to_expect() -> None:
    pace = Pace(0.2)

    for _ in range(100):
        pace.learn(0.0)

    assert pace.expected == SHORTEST
