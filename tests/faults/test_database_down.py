"""The database goes away at each step of a refresh, and comes back in time or too late."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from django_sf_oauth.exceptions import ReconnectRequired
from django_sf_oauth.models import ConnectionEvent, PendingRevocation, SalesforceConnection
from tests.races.site import SOON, Site, reload, wait_for

from .databases import server_only
from .proxy import Proxy, proxy_to

pytestmark = [pytest.mark.django_db(transaction=True), server_only]

Row = SalesforceConnection


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    facts = connection.settings_dict
    with proxy_to(facts["HOST"], int(facts["PORT"])) as proxy:
        yield proxy


@pytest.fixture
def behind(proxy: Proxy) -> dict[str, Any]:
    """How a worker reaches the database through the proxy."""
    return {"HOST": "127.0.0.1", "PORT": proxy.port}


def assert_renewed(row: Row) -> None:
    stored = reload(row)
    assert (stored.status, stored.generation, stored.in_doubt_since) == ("active", 2, None)


def test_a_database_that_comes_back_within_the_lease_gets_the_rotated_token(
    site: Site, row: Row, proxy: Proxy, behind: dict[str, Any]
) -> None:
    with site.workers(row, processes=1, threads=1, database=behind) as (worker,):
        with site.fake.hold() as held:
            worker.go()
            held.wait_for(1, timeout=SOON)
            proxy.cut()
        wait_for(lambda: proxy.turned_away >= 3)
        assert reload(row).generation == 1
        proxy.restore()

        assert worker.fared() == ["200"]

    assert_renewed(row)
    reload(row).refresh()
    assert site.asked == {"ok": 2}


def test_a_database_that_goes_away_before_the_commit_gets_the_rotated_token_in_another(
    site: Site, row: Row, proxy: Proxy, behind: dict[str, Any]
) -> None:
    stops = {"uncommitted": 1}
    with site.workers(row, processes=1, threads=1, database=behind, stops=stops) as (worker,):
        worker.go()
        worker.await_stop("uncommitted")
        proxy.cut()
        proxy.restore()
        worker.go_on()

        assert worker.fared() == ["200"]

    assert_renewed(row)
    reload(row).refresh()
    assert site.asked == {"ok": 2}


def test_a_commit_that_the_database_did_not_confirm_is_not_undone(
    site: Site, row: Row, proxy: Proxy, behind: dict[str, Any]
) -> None:
    stops = {"uncommitted": 1}
    with site.workers(row, processes=1, threads=1, database=behind, stops=stops) as (worker,):
        worker.go()
        worker.await_stop("uncommitted")
        proxy.mute()
        worker.go_on()
        wait_for(lambda: reload(row).generation == 2)
        proxy.cut()
        proxy.restore()

        assert worker.fared() == ["200"]

    assert PendingRevocation.objects.count() == 0
    assert_renewed(row)
    reload(row).refresh()
    assert site.asked == {"ok": 2}


@pytest.mark.parametrize("step", ["claiming", "claiming at once"])
def test_a_claim_that_the_database_did_not_confirm_delays_the_refresh_and_loses_nothing(
    site: Site, row: Row, proxy: Proxy, behind: dict[str, Any], settings: Any, step: str
) -> None:
    timeouts = {"total": 2, "lease": 4, "wait": 30}  # seconds
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "TIMEOUTS": timeouts}
    with site.workers(row, processes=1, threads=1, database=behind, stops={step: 1}) as (worker,):
        worker.go()
        worker.await_stop(step)
        proxy.mute()
        worker.go_on()
        wait_for(lambda: reload(row).lease_owner is not None)
        proxy.cut()
        proxy.restore()

        assert worker.fared() == ["200"]

    assert_renewed(row)
    assert site.asked == {"ok": 1}


def test_an_answer_that_cannot_be_stored_until_its_lease_ends_is_called_a_lost_rotation(
    site: Site, row: Row, proxy: Proxy, behind: dict[str, Any], settings: Any
) -> None:
    timeouts = {"total": 4, "lease": 5, "wait": 30}  # seconds
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "TIMEOUTS": timeouts}
    with site.workers(row, processes=1, threads=1, database=behind, stops={"answered": 1}) as (worker,):
        worker.go()
        worker.await_stop("answered")
        proxy.cut()
        worker.go_on()

        assert worker.fared() == ["store_failed"]

    assert proxy.turned_away >= 3
    assert site.asked == {"ok": 1}
    with pytest.raises(ReconnectRequired) as caught:
        reload(row).refresh()
    assert caught.value.code == "rotation_lost"
    assert [event.reason for event in ConnectionEvent.objects.all()] == ["rotation_lost"]
    assert site.asked == {"ok": 1, "invalid_grant": 1}


@pytest.mark.parametrize("step", ["read", "gated"])
def test_a_database_that_goes_away_before_the_claim_spends_nothing(
    site: Site, row: Row, proxy: Proxy, behind: dict[str, Any], step: str
) -> None:
    with site.workers(row, processes=1, threads=1, database=behind, stops={step: 1}) as (worker,):
        worker.go()
        worker.await_stop(step)
        proxy.cut()
        worker.go_on()

        assert worker.fared() == ["database_unavailable"]

        assert site.asked == {}
        proxy.restore()
        worker.go()
        assert worker.fared() == ["200"]
    assert_renewed(row)
    assert site.asked == {"ok": 1}


def test_a_database_that_is_down_when_a_refresh_begins_spends_nothing(
    site: Site, row: Row, proxy: Proxy, behind: dict[str, Any]
) -> None:
    with site.workers(row, processes=1, threads=1, database=behind) as (worker,):
        proxy.cut()
        worker.go()

        assert worker.fared() == ["database_unavailable"]

        assert site.asked == {}
        proxy.restore()
        worker.go()
        assert worker.fared() == ["200"]
    assert_renewed(row)
    assert site.asked == {"ok": 1}
