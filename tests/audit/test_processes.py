"""Real processes that record at once, on a real database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from django_sf_oauth.services.pruning import KEEP_EVENTS, prune
from tests.audit.recorder import EVENTS
from tests.audit.tampering import chain_of, events_of, found
from tests.factories import make_connection
from tests.races.site import Site, open_site

pytestmark = pytest.mark.django_db(transaction=True)

PROCESSES = 3
WRITTEN = PROCESSES * EVENTS * 4


@pytest.fixture
def site(settings: Any) -> Iterator[Site]:
    with open_site(settings) as site:
        yield site


def test_processes_that_record_at_once_lose_no_event_and_no_number(site: Site) -> None:
    row = make_connection()

    with site.workers(row, processes=PROCESSES, threads=1, module="tests.audit.recorder") as workers:
        for worker in workers:
            worker.go()
        prune(keep_events=KEEP_EVENTS)
        wrong = [what for worker in workers for what in worker.fared()]

    assert wrong == []  # what was half written never looked like an attack
    assert [event.sequence for event in events_of(row)] == list(range(1, WRITTEN + 1))
    assert (chain_of(row).first, chain_of(row).last) == (1, WRITTEN)
    assert found() == ([], {"hold": WRITTEN})
