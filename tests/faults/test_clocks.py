"""Two hosts whose clocks differ by 30 seconds, or by an hour: the lease of one holds for the other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.races.site import SOON, Site, reload

pytestmark = pytest.mark.django_db(transaction=True)

# Shorter than the difference: by the clock of a host that is ahead, the other's lease has long ended.
TIMEOUTS = {"total": 20, "lease": 25, "wait": 30}  # seconds


@pytest.mark.parametrize("use_tz", [True, False], ids=["USE_TZ", "no USE_TZ"])
@pytest.mark.parametrize("fast", [30, -30, 3600], ids=["30 s ahead", "30 s behind", "an hour ahead"])
def test_a_host_whose_clock_is_wrong_does_not_ask_while_another_does(
    site: Site, settings: Any, fast: int, use_tz: bool
) -> None:
    settings.USE_TZ = use_tz
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "TIMEOUTS": TIMEOUTS}
    row = site.connect()
    hosts = [{}, {"clock": fast, "stops": {"looking": 4}}]
    with site.worker_each([row] * 2, each=hosts) as (one, two):
        with site.fake.hold() as held:
            one.go()
            held.wait_for(1, timeout=SOON)
            two.go()
            for _ in range(4):  # it looks again and again, so it has not asked
                two.await_stop("looking")
                two.go_on()

        assert (one.fared(), two.fared()) == (["200"], ["200"])

    assert (reload(row).status, reload(row).generation) == ("active", 2)
    assert site.asked == {"ok": 1}


@pytest.mark.parametrize("use_tz", [True, False], ids=["USE_TZ", "no USE_TZ"])
def test_hosts_whose_clocks_differ_make_one_token_request_at_once(site: Site, settings: Any, use_tz: bool) -> None:
    settings.USE_TZ = use_tz
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "TIMEOUTS": TIMEOUTS}
    row = site.connect()
    site.fake.delay = 0.2
    with site.worker_each([row] * 2, each=[{"clock": 15}, {"clock": -15}], threads=4) as (ahead, behind):
        ahead.go()
        behind.go()

        assert ahead.fared() + behind.fared() == ["200"] * 8

    assert (reload(row).status, reload(row).generation) == ("active", 2)
    assert site.asked == {"ok": 1}
