"""Workers that are killed or paused, and a broker that is cut off, while many exchanges are in flight."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from django_sf_oauth.grants.engine import THREADS
from django_sf_oauth.models import SalesforceConnection
from tests.brokers.site import RENEWED, Site
from tests.faults.databases import server_only
from tests.faults.proxy import proxy_to
from tests.races.site import end_the_lease, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), server_only]

ANSWERS_AFTER = 1.0  # seconds: for a test to act while many are in flight
SOME = 20
IN_FLIGHT = 2 * THREADS  # at most, in two processes
LOST = ("reconnect_required", "rotation_lost", 1)


@pytest.fixture
def slow_site(open_site: Callable[[float], Site], number: int) -> Site:
    site = open_site(ANSWERS_AFTER)
    site.connect(number)
    return site


def test_a_killed_worker_loses_what_was_in_flight_in_it_and_nothing_else(slow_site: Site, number: int) -> None:
    site = slow_site
    with site.worker() as worker:
        site.sweep()
        site.wait_until_in_flight(SOME)
        worker.kill()
    site.wait_until_landed()
    lost = site.lost
    end_the_lease()
    site.let_claims_end()
    site.let_tokens_expire()

    with site.worker():
        site.sweep()
        site.wait_until_settled()

    flagged = SalesforceConnection.objects.filter(status="reconnect_required")
    assert SOME <= len(lost) <= IN_FLIGHT
    assert set(flagged.values_list("username", flat=True)) == lost
    assert site.endings == {RENEWED: number - len(lost), LOST: len(lost)}
    asked = {name: site.asked.get(name) for name in ("requests", "renewed", "replays", "doubled", "most")}
    assert asked == {
        "requests": number + len(lost),
        "renewed": number,
        "replays": len(lost),
        "doubled": None,
        "most": 2,
    }


def test_a_broker_that_is_cut_off_and_comes_back_costs_nobody_a_request(slow_site: Site, number: int) -> None:
    site = slow_site
    with proxy_to(*site.broker.address) as proxy, site.worker(broker=site.broker.behind(proxy.port)):
        site.sweep()
        site.wait_until_in_flight(SOME)
        proxy.cut()
        wait_for(lambda: proxy.turned_away > 0)
        proxy.restore()
        site.let_claims_end()
        site.sweep()
        site.wait_until_settled()

    assert site.endings == {RENEWED: number}
    assert site.asked == {"requests": number, "renewed": number, "most": 1}


def test_a_paused_worker_finds_its_answers_when_it_goes_on(slow_site: Site, number: int) -> None:
    """As a laptop that sleeps: meanwhile the claims and the leases end, and another worker does the rest."""
    site = slow_site
    with site.worker() as paused:
        site.sweep()
        site.wait_until_in_flight(SOME)
        paused.send(signal.SIGSTOP)
        site.wait_until_landed()
        end_the_lease()
        site.let_claims_end()
        with site.worker() as other:
            site.sweep()
            other.await_word(" succeeded in ")
            assert site.unrefreshed.count() >= SOME
            paused.send(signal.SIGCONT)
            site.let_claims_end()
            site.sweep()
            site.wait_until_settled()

    assert site.endings == {RENEWED: number}
    assert site.asked == {"requests": number, "renewed": number, "most": 1}
