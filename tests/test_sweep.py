"""The sweep: what it claims, and what it hands over."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.services import sweep
from tests.factories import make_connection

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

    assert sweep.claim_due() == [later.pk, late.pk]


def test_a_second_sweep_claims_nothing_until_the_first_claim_has_run_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = make_connection(**due())
    first = sweep.claim_due()

    second = sweep.claim_due()
    later = timezone.now() + sweep.CLAIMED_FOR
    monkeypatch.setattr(timezone, "now", lambda: later)
    third = sweep.claim_due()

    assert (first, second, third) == ([connection.pk], [], [connection.pk])


def test_a_claim_takes_no_more_than_its_limit() -> None:
    for _ in range(3):
        make_connection(**due())

    assert [len(sweep.claim_due(2)) for _ in range(3)] == [2, 1, 0]


@pytest.mark.django_db(transaction=True)
def test_sweeps_side_by_side_claim_each_connection_once() -> None:
    rows = [make_connection(**due()) for _ in range(40)]

    with ThreadPoolExecutor(4) as threads:
        claimed = list(threads.map(lambda _: claim_all(), range(4)))

    assert sorted(pk for ids in claimed for pk in ids) == sorted(pks(rows))


def claim_all() -> list[int]:
    found: list[int] = []
    try:
        while ids := sweep.claim_due(5):
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
