"""Somebody else writes to the file, for longer than SQLite waits, when an answer is to be stored."""

from __future__ import annotations

import time

import pytest
from django.db import connection, transaction

from django_sf_oauth.models import SalesforceConnection
from tests.races.site import Site, reload

from .databases import sqlite_only

pytestmark = [pytest.mark.django_db(transaction=True), sqlite_only]

PATIENCE = 0.1  # seconds that the worker's SQLite waits, for 5 by default


def test_a_file_that_is_free_again_within_the_lease_gets_the_rotated_token(
    site: Site, row: SalesforceConnection
) -> None:
    hasty = {"OPTIONS": {**connection.settings_dict["OPTIONS"], "timeout": PATIENCE}}
    with site.workers(row, processes=1, threads=1, database=hasty, stops={"answered": 1}) as (worker,):
        worker.go()
        worker.await_stop("answered")
        with transaction.atomic():
            SalesforceConnection.objects.filter(pk=row.pk).update(organization_name="written meanwhile")
            worker.go_on()
            time.sleep(20 * PATIENCE)

        assert worker.fared() == ["200"]

    assert sum(said.count("event=store_failed") for said in site.said) >= 2
    stored = reload(row)
    assert (stored.status, stored.generation, stored.in_doubt_since) == ("active", 2, None)
    assert stored.organization_name == "written meanwhile"
    assert site.asked == {"ok": 1}
    stored.refresh()
    assert site.asked == {"ok": 2}
