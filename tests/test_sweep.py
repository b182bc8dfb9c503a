"""The sweep: what it claims, and what it hands over."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import SalesforceConnection, claiming, due_order
from django_sf_oauth.models.clock import database_now
from django_sf_oauth.protocol.identity import to_18
from django_sf_oauth.services import pace, sweep
from tests.factories import make_connection, make_user
from tests.fleet import claim_due

pytestmark = pytest.mark.django_db

OVERDUE = timedelta(minutes=-1)


def due(**values: Any) -> dict[str, Any]:
    return {"next_refresh_at": timezone.now() + OVERDUE, **values}


def pks(rows: list[SalesforceConnection]) -> list[int]:
    return [row.pk for row in rows]


def test_a_sweep_claims_what_is_due_longest_overdue_first() -> None:
    now = timezone.now()
    late = make_connection(next_refresh_at=now - timedelta(hours=1))
    later = make_connection(next_refresh_at=now - timedelta(hours=2))
    make_connection(next_refresh_at=now + timedelta(hours=1))
    make_connection(next_refresh_at=None)
    make_connection(next_refresh_at=now - timedelta(hours=3), status=Status.RECONNECT_REQUIRED)

    assert claim_due() == [later.pk, late.pk]


def test_a_second_sweep_claims_nothing_until_the_first_claim_has_run_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = make_connection(**due())
    first = claim_due()

    second = claim_due()
    later = timezone.now() + sweep.CLAIMED_FOR
    monkeypatch.setattr(sweep, "database_now", lambda alias: later)
    third = claim_due()

    assert (first, second, third) == ([connection.pk], [], [connection.pk])


def test_a_claim_that_a_slow_sweep_makes_lasts_as_long_as_any(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        make_connection(**due())
    began = database_now("default")
    clock = [0.0]
    monkeypatch.setattr(pace.Pace.__init__, "__kwdefaults__", {"monotonic": lambda: clock[0]})

    for _ in sweep.claims(batch=1):  # each batch takes four minutes, as without Celery
        clock[0] += 240.0

    first, second = SalesforceConnection.objects.order_by("claimed_until").values_list("claimed_until", flat=True)
    assert first is not None
    assert second is not None
    assert first >= began + sweep.CLAIMED_FOR
    assert second - first == timedelta(seconds=240)


def test_a_claim_takes_no_more_than_its_limit() -> None:
    for _ in range(3):
        make_connection(**due())

    assert [len(claim_due(2)) for _ in range(3)] == [2, 1, 0]


@pytest.mark.django_db(transaction=True)
def test_sweeps_side_by_side_claim_each_connection_once() -> None:
    rows = [make_connection(**due()) for _ in range(40)]

    with ThreadPoolExecutor(4) as threads:
        claimed = list(threads.map(lambda _: claim_all(), range(4)))

    assert sorted(pk for ids in claimed for pk in ids) == sorted(pks(rows))


def claim_all() -> list[int]:
    found: list[int] = []
    try:
        while ids := claim_due(5):
            found += ids
    finally:
        connections.close_all()
    return found


def test_a_sweep_hands_over_batches_and_stops_at_its_limit() -> None:
    for _ in range(6):
        make_connection(**due())
    batches: list[list[int]] = []

    claimed = sweep.refresh_due(batches.append, limit=5, batch=2)

    assert claimed == 5
    assert [len(ids) for ids in batches] == [2, 2, 1]


@pytest.mark.django_db(transaction=True)
def test_a_batch_is_handed_over_after_its_claim_was_committed() -> None:
    make_connection(**due())
    seen: list[bool] = []

    sweep.refresh_due(lambda ids: seen.append(connections["default"].in_atomic_block))

    assert seen == [False]


def test_a_sweep_reads_on_where_the_last_page_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_order, "PAGE", 2)
    at_one_moment = due()
    rows = [make_connection(**at_one_moment) for _ in range(5)]

    assert claim_due() == pks(rows)


def test_a_site_without_time_zones_is_swept_alike(settings: Any) -> None:
    settings.USE_TZ = False
    rows = [make_connection(**due()) for _ in range(2)]
    make_connection(next_refresh_at=timezone.now() + timedelta(minutes=10))

    assert 60 <= sweep.oldest_due_age() < 90
    assert (claim_due(), claim_due()) == (pks(rows), [])


def test_a_sweep_of_nothing_claims_nothing() -> None:
    row = make_connection(**due())

    assert sweep.refresh_due(lambda ids: None, limit=0) == 0
    assert claim_due() == [row.pk]


def test_where_a_database_cannot_return_what_it_updated_it_is_asked_in_two_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claiming, "CLAIM", {})
    rows = [make_connection(**due()) for _ in range(3)]

    assert (claim_due(), claim_due()) == (pks(rows), [])


def test_one_that_somebody_else_has_claimed_meanwhile_is_left_alone() -> None:
    rows = [make_connection(**due()) for _ in range(4)]
    batches = sweep.claims(batch=2)
    first = next(batches)

    taken = claim_due()

    assert (first, taken, list(batches)) == (pks(rows[:2]), pks(rows[2:]), [])


def test_one_that_is_asked_for_twice_is_claimed_once() -> None:
    row = make_connection(**due())
    now = database_now("default")

    assert claiming.claim("default", [row.pk, row.pk], now=now, until=now + sweep.CLAIMED_FOR) == [row.pk]


# Fairness


def sweeps_until(rows: list[SalesforceConnection], limit: int) -> list[int]:
    """In which sweep each of the connections is handed over, and no other is due any more."""
    sweeps: list[list[int]] = []
    while not sweeps or sweeps[-1]:
        sweeps.append([])
        sweep.refresh_due(sweeps[-1].extend, limit=limit, batch=7)
    seen = {pk: number for number, pks in enumerate(sweeps) for pk in pks}
    return [seen[row.pk] for row in rows]


@pytest.mark.parametrize("orgs", [10, 40, 120])
def test_an_org_with_half_of_what_is_due_delays_no_other_by_more_than_one_sweep(orgs: int) -> None:
    user, overdue = make_user(), timezone.now() - timedelta(hours=1)
    others = [
        make_connection(user=user, next_refresh_at=overdue, organization_id=to_18(f"00D{number % orgs:012d}"))
        for number in range(120)
    ]
    alone = sweeps_until(others, limit=40)

    SalesforceConnection.objects.update(claimed_until=None)
    long_overdue = overdue - timedelta(days=1)
    big = [
        make_connection(user=user, next_refresh_at=long_overdue, organization_id=to_18("00D00000000BIG0"))
        for _ in range(120)
    ]
    together = sweeps_until(others + big, limit=40)

    assert max(late - early for late, early in zip(together[:120], alone, strict=True)) <= 1
    assert sorted(together) == [number for number in range(6) for _ in range(40)]


# What waits


def test_the_age_is_that_of_the_longest_overdue_connection_that_is_watched() -> None:
    now = timezone.now()
    make_connection(next_refresh_at=now - timedelta(minutes=1))
    make_connection(next_refresh_at=now - timedelta(minutes=2), status=Status.BLOCKED)
    make_connection(next_refresh_at=now - timedelta(minutes=9), status=Status.RECONNECT_REQUIRED)

    assert 120 <= sweep.oldest_due_age() < 150


def test_the_age_is_nought_when_nothing_is_due() -> None:
    make_connection(next_refresh_at=timezone.now() + timedelta(minutes=1))

    assert sweep.oldest_due_age() == 0
