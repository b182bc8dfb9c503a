"""SIGKILL at each step of a refresh, in five rounds each; then its lease ends, and one more refresh comes."""

from __future__ import annotations

import pytest

from django_sf_oauth.exceptions import SalesforceOAuthError
from django_sf_oauth.models import ConnectionEvent, SalesforceConnection
from django_sf_oauth.models.store import engine
from tests.races.site import SOON, Site, Worker, end_the_lease, reload, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

Status = SalesforceConnection.Status
Rows = list[SalesforceConnection]

ROUNDS = 5
IN_FLIGHT = "in flight"


@pytest.fixture
def rows(site: Site) -> Rows:
    return [site.connect() for _ in range(ROUNDS)]


def kill_each(site: Site, rows: Rows, step: str) -> None:
    """One worker after the other: on SQLite, the one that has not committed keeps all others out."""
    stops = {} if step == IN_FLIGHT else {step: 1}
    with site.worker_each(rows, stops=stops) as workers:
        for worker in workers:
            if step == IN_FLIGHT:
                kill_in_flight(site, worker)
            else:
                worker.refresh()
                worker.await_stop(step)
                worker.kill()
    end_the_lease()


def kill_in_flight(site: Site, worker: Worker) -> None:
    answered = site.fake.token_requests
    with site.fake.hold() as held:
        worker.refresh()
        held.wait_for(1, timeout=SOON)
        worker.kill()
    wait_for(lambda: site.fake.token_requests > answered)  # into the void


def refresh(row: SalesforceConnection) -> str:
    """How the connection is after one more refresh."""
    row = reload(row)
    try:
        row.refresh()
    except SalesforceOAuthError as error:
        return f"{reload(row).status}, {error.code}"
    assert reload(row).in_doubt_since is None
    return f"{reload(row).status}, generation {reload(row).generation}"


@pytest.mark.parametrize("step", ["read", "claimed", "claiming at once", "claimed at once"])
def test_a_worker_killed_before_its_request_loses_nothing(site: Site, rows: Rows, step: str) -> None:
    kill_each(site, rows, step)

    assert site.asked == {}
    assert [refresh(row) for row in rows] == ["active, generation 2"] * ROUNDS
    assert site.asked == {"ok": ROUNDS}


def test_a_worker_killed_before_it_notes_a_failure_loses_nothing(site: Site, rows: Rows) -> None:
    site.fake.fail_next(status=503, times=ROUNDS)
    kill_each(site, rows, "refused")

    assert [refresh(row) for row in rows] == ["active, generation 2"] * ROUNDS
    assert site.asked == {"HTTP 503": ROUNDS, "ok": ROUNDS}


@pytest.mark.parametrize("step", [IN_FLIGHT, "answered", "uncommitted"])
def test_a_worker_killed_between_request_and_commit_leaves_a_lost_rotation_that_says_so(
    site: Site, rows: Rows, step: str
) -> None:
    kill_each(site, rows, step)

    assert site.asked == {"ok": ROUNDS}
    assert [refresh(row) for row in rows] == ["reconnect_required, rotation_lost"] * ROUNDS
    assert [event.reason for event in ConnectionEvent.objects.all()] == ["rotation_lost"] * ROUNDS
    assert site.asked == {"ok": ROUNDS, "invalid_grant": ROUNDS}


@pytest.mark.parametrize("step", [IN_FLIGHT, "answered", "uncommitted"])
def test_without_rotation_a_worker_killed_between_request_and_commit_loses_nothing(
    site: Site, rows: Rows, step: str
) -> None:
    site.fake.rotation = False
    kill_each(site, rows, step)

    assert [refresh(row) for row in rows] == ["active, generation 2"] * ROUNDS
    assert site.asked == {"ok": 2 * ROUNDS}


def test_a_worker_killed_before_it_commits_a_recovery_leaves_a_lost_rotation_that_says_so(
    site: Site, rows: Rows
) -> None:
    SalesforceConnection.objects.update(status=Status.BLOCKED, reason="ip_restricted")
    kill_each(site, rows, "uncommitted")

    assert {reload(row).status for row in rows} == {Status.BLOCKED}
    assert [refresh(row) for row in rows] == ["reconnect_required, rotation_lost"] * ROUNDS
    assert site.asked == {"ok": ROUNDS, "invalid_grant": ROUNDS}


def test_a_worker_killed_after_its_commit_loses_nothing(site: Site, rows: Rows) -> None:
    kill_each(site, rows, "stored")

    assert [reload(row).generation for row in rows] == [2] * ROUNDS
    assert [refresh(row) for row in rows] == ["active, generation 3"] * ROUNDS
    assert site.asked == {"ok": 2 * ROUNDS}


def test_a_lease_of_a_killed_worker_keeps_everybody_off_until_it_ends(
    site: Site, row: SalesforceConnection
) -> None:
    with site.workers(row, processes=1, threads=1) as (worker,):
        kill_in_flight(site, worker)

    outcome = engine.refresh(row.pk, row.generation, patience=0.5)

    assert outcome.reason == "patience"
    assert site.asked == {"ok": 1}
    end_the_lease()  # and the one that waits finds what happened
    assert engine.submit(row.pk, row.generation).result(SOON).reason == "rotation_lost"
    assert site.asked == {"ok": 1, "invalid_grant": 1}
