"""A server that forks after it has used connections."""

from __future__ import annotations

import pytest

from tests.races.site import SOON, Site, reload

pytestmark = pytest.mark.django_db(transaction=True)


def test_after_a_fork_the_child_refreshes_and_the_parents_refresh_goes_on(site: Site) -> None:
    row, other = site.connect(), site.connect()
    task = {"module": "tests.faults.forking", "other": other.pk}
    with site.workers(row, processes=1, threads=1, **task) as (parent,):
        with site.fake.hold() as held:
            parent.go()
            held.wait_for(1, timeout=SOON)
            parent.go_on()
            held.wait_for(1, timeout=SOON)  # the child's own, beside its parent's

        heard = {parent.hear() for _ in range(4)}

    assert heard == {
        "child, other: 200",
        "child, same: 200",
        "parent, in flight: renewed",
        "parent, later: 200",
    }
    assert [reload(row).generation, reload(other).generation] == [2, 2]
    assert site.asked == {"ok": 2}
