"""A whole site whose transactions repeat their reads, or are serializable."""

from __future__ import annotations

from typing import Any

import pytest

from django_sf_oauth.models import SalesforceConnection
from tests.races.site import Site, reload

from .databases import VENDOR, server_only

pytestmark = [pytest.mark.django_db(transaction=True), server_only]

LEVELS: dict[str, dict[str, Any]] = {  # as the drivers name them
    "postgresql": {"repeatable read": 3, "serializable": 4},
    "mysql": {"repeatable read": "repeatable read", "serializable": "serializable"},
}


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_eight_processes_of_four_threads_make_one_token_request(
    site: Site, row: SalesforceConnection, level: str
) -> None:
    database = {"OPTIONS": {"isolation_level": LEVELS[VENDOR][level]}}

    assert site.race(row, processes=8, threads=4, database=database) == ["200"] * 32

    assert (reload(row).status, reload(row).generation) == ("active", 2)
    reload(row).refresh()
    assert site.asked == {"ok": 2}
