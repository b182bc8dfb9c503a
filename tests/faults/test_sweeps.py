"""Sweeps at once, sweeps that are killed, and sweeps whose clocks are wrong: each due connection once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.models.clock import database_now
from django_sf_oauth.protocol.identity import to_18
from django_sf_oauth.services import sweep
from tests.factories import make_connection, make_user
from tests.races.site import Site, Worker

from .databases import server_only

pytestmark = pytest.mark.django_db(transaction=True)

SWEEPERS = 4
DUE = 60
HOUR = 3600.0

Rows = list[SalesforceConnection]


@pytest.fixture
def due() -> list[int]:
    """Primary keys of connections of three orgs, one of which owns half of them."""
    user, now = make_user(), timezone.now()
    orgs = [to_18(f"00D00000000000{number}") for number in (1, 1, 2, 3)]
    return [
        make_connection(
            user=user, organization_id=orgs[number % 4], next_refresh_at=now - timedelta(seconds=1 + number)
        ).pk
        for number in range(DUE)
    ]


@contextmanager
def sweepers(site: Site, number: int = SWEEPERS, **task: Any) -> Iterator[list[Worker]]:
    arguments = {"sweep": {"limit": 10 * DUE, "batch": 7}, **task}
    row = SalesforceConnection.objects.all()[0]
    with site.worker_each([row] * number, module="tests.races.sweeper", **arguments) as workers:
        yield workers


def handed_over(workers: list[Worker]) -> list[int]:
    """What all of them, at once, hand over."""
    for worker in workers:
        worker.go()
    return sorted(int(pk) for worker in workers for pk in worker.fared())


def let_claims_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    later = database_now("default") + sweep.CLAIMED_FOR
    monkeypatch.setattr(sweep, "database_now", lambda alias: later)


def sweep_here() -> list[int]:
    ids: list[int] = []
    sweep.refresh_due(ids.extend)
    return sorted(ids)


def test_sweeps_at_once_hand_over_each_connection_once(site: Site, due: list[int]) -> None:
    with sweepers(site) as workers:
        first, second = handed_over(workers), handed_over(workers)

    assert (first, second) == (due, [])


def test_a_sweep_killed_before_it_handed_over_costs_one_claim_period(
    site: Site, due: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with sweepers(site, 1) as (worker,):
        worker.stop()
        worker.await_stop("handing over")
        worker.kill()

    at_once = sweep_here()
    assert len(at_once) == DUE - 7
    SalesforceConnection.objects.filter(pk__in=at_once).update(next_refresh_at=None)  # as if they were refreshed
    assert sweep_here() == []
    let_claims_run_out(monkeypatch)
    assert sorted(at_once + sweep_here()) == due


@pytest.mark.parametrize("clocks", [(HOUR, 0.0), (-HOUR, 0.0), (HOUR, -HOUR)], ids=["fast", "slow", "both"])
def test_sweeps_on_machines_whose_clocks_are_wrong_claim_what_is_due_and_nothing_else(
    site: Site, due: list[int], clocks: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_connection(next_refresh_at=timezone.now() + timedelta(minutes=30))
    with sweepers(site, 2, each=[{"clock": clock} for clock in clocks]) as workers:
        first, second = handed_over(workers), handed_over(workers)

    assert (first, second) == (due, [])
    let_claims_run_out(monkeypatch)
    assert sweep_here() == due


def test_sweeps_at_once_keep_to_one_rate(site: Site, due: list[int], settings: Any) -> None:
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "REFRESH_RATE": "20/m"}
    with sweepers(site) as workers:
        first, second = handed_over(workers), handed_over(workers)

    assert (len(first), second) == (20, [])


@server_only
def test_a_sweep_waits_for_no_row_that_somebody_has_locked(site: Site, due: list[int]) -> None:
    with ExitStack() as stack:
        (worker,) = stack.enter_context(sweepers(site, 1))
        with transaction.atomic():
            locked = SalesforceConnection.objects.select_for_update().filter(pk__in=due[:5])
            assert len(locked) == 5
            first = handed_over([worker])
        second = handed_over([worker])

    assert (first, second) == (due[5:], due[:5])
