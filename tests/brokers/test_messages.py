"""Messages that get lost, come late or twice, and too many who send them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from django.utils import timezone

from django_sf_oauth import tasks
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.services import batches, sweep
from tests.brokers.site import RENEWED, Site
from tests.faults.databases import server_only

pytestmark = [pytest.mark.django_db(transaction=True), server_only]


def test_what_was_lost_on_the_broker_is_handed_over_again(site: Site, number: int) -> None:
    site.connect(number)
    site.sweep()
    site.broker.purge(site.app)
    site.let_claims_end()

    with site.worker():
        site.sweep()
        site.wait_until_settled()

    assert site.endings == {RENEWED: number}
    assert site.asked == {"requests": number, "renewed": number, "most": 1}


def test_what_came_too_late_is_handed_over_again(site: Site, number: int) -> None:
    site.connect(number)
    site.sweep(lambda ids: tasks.refresh_connections.apply_async((ids,), expires=0.001))
    tasks.refresh_connections.delay([])

    with site.worker() as worker:
        worker.await_word("succeeded")  # the one that came after them
        assert site.asked == {}
        site.let_claims_end()
        site.sweep()
        site.wait_until_settled()

    assert site.endings == {RENEWED: number}
    assert site.asked == {"requests": number, "renewed": number, "most": 1}


def test_what_comes_twice_is_refreshed_once(site: Site, number: int) -> None:
    def send_twice(ids: list[int]) -> None:
        tasks.refresh_connections.delay(ids)
        tasks.refresh_connections.delay(ids)

    site.connect(number)

    with site.worker():
        site.sweep(send_twice)
        site.wait_until_settled()

    assert site.endings == {RENEWED: number}
    assert site.asked == {"requests": number, "renewed": number, "most": 1}


def test_two_beats_and_sweeps_that_overlap_refresh_once(site: Site, number: int, tmp_path: Path) -> None:
    site.connect(number)
    for _ in range(4):
        tasks.refresh_due.delay()

    with site.beat(str(tmp_path / "one")), site.beat(str(tmp_path / "two")), site.worker():
        site.wait_until_settled()

    assert site.endings == {RENEWED: number}
    assert site.asked == {"requests": number, "renewed": number, "most": 1}


def test_a_broker_whose_workers_are_away_holds_no_more_than_one_sweep(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH", 2)
    monkeypatch.setattr(batches, "SWEEP", 10)
    monkeypatch.setattr(sweep, "refresh_due", partial(sweep.refresh_due, batch=2))
    site.app.conf.task_routes = {"django_sf_oauth.refresh_connections": {"queue": site.broker.name}}
    site.connect(30)

    for _ in range(3):
        tasks.refresh_due.apply()

    assert SalesforceConnection.objects.due(timezone.now()).count() == 20
