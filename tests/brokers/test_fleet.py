"""Many connections due at once. ``FLEET`` in the environment says how many."""

from __future__ import annotations

import pytest

from tests.brokers.site import RENEWED, Site
from tests.faults.databases import server_only
from tests.races.saying import say

pytestmark = [pytest.mark.django_db(transaction=True), server_only]


@pytest.mark.parametrize(("pool", "processes"), [("prefork", 2), ("threads", 1)])
def test_all_that_is_due_at_once_is_refreshed_by_one_request_each(
    site: Site, number: int, pool: str, processes: int
) -> None:
    site.connect(number)
    with site.worker(pool=pool):
        site.sweep()
        seconds = site.wait_until_settled()

    assert site.endings == {RENEWED: number}
    assert site.asked == {"requests": number, "renewed": number, "most": 1}
    say(f"{pool}: {number / seconds / processes:.0f} refreshes/s per process")
