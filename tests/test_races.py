"""Refreshes at once: real processes, real threads, a real database and a fake Salesforce on a real port.

The fake rotates the refresh token on every use and, as Salesforce documents it, kills the grant on a replay.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from django_sf_oauth import get_connection
from django_sf_oauth.exceptions import NotConnected, TemporarilyUnavailable
from django_sf_oauth.models import ConnectionEvent, PendingRevocation, SalesforceConnection
from django_sf_oauth.models import store as store_module
from django_sf_oauth.models.store import engine
from django_sf_oauth.testing import FakeSalesforce
from tests.races.discretion import discreet_site
from tests.races.site import SOON, Site, reload, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

Status = SalesforceConnection.Status

server_only = pytest.mark.skipif(
    "sqlite" in settings.DATABASES["default"]["ENGINE"],
    reason="SQLite has one writer at a time; set DATABASE_URL to a PostgreSQL or MariaDB to run it",
)
sqlite_only = pytest.mark.skipif(
    "sqlite" not in settings.DATABASES["default"]["ENGINE"], reason="only SQLite locks the whole database"
)


@pytest.fixture
def site(settings: Any, caplog: pytest.LogCaptureFixture) -> Iterator[Site]:
    with discreet_site(settings, caplog) as site:
        yield site


@pytest.fixture
def row(site: Site) -> SalesforceConnection:
    return site.connect()


def is_alive(fake: FakeSalesforce) -> bool:
    return any(fake.world.live_approvals())


def wait_until_alone() -> None:
    """Until no connection to this database is left but the test's own; a server takes a moment to close one."""
    counts = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        "mysql": "SELECT count(*) FROM information_schema.processlist"
        " WHERE db = database() AND id <> connection_id()",
    }

    def alone() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(counts[connection.vendor])
            return bool(cursor.fetchone()[0] == 0)

    wait_for(alone)


# At once


def test_eight_processes_of_four_threads_make_one_token_request(site: Site, row: SalesforceConnection) -> None:
    fared = site.race(row, processes=8, threads=4)

    assert fared == ["200"] * 32
    assert site.fake.token_requests == 1
    assert reload(row).generation == 2
    assert is_alive(site.fake)


def test_what_they_stored_can_be_refreshed_again(site: Site, row: SalesforceConnection) -> None:
    for _ in range(3):
        assert site.race(row, processes=2, threads=2) == ["200"] * 4
        site.fake.expire_access_tokens()

    assert site.fake.token_requests == 3
    assert reload(row).generation == 4


def test_a_dead_grant_is_asked_for_once_by_all_of_them(site: Site, row: SalesforceConnection) -> None:
    site.fake.revoke()

    fared = site.race(row, processes=3, threads=4)

    assert fared == ["revoked"] * 12
    assert site.fake.token_requests == 1
    assert ConnectionEvent.objects.count() == 1


def test_threads_that_share_one_instance_make_one_token_request(site: Site, row: SalesforceConnection) -> None:
    gate = threading.Barrier(8)
    fared: list[int] = []

    def call() -> None:
        gate.wait(SOON)
        try:
            fared.append(row.client().get("limits").status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)

    assert fared == [200] * 8
    assert site.fake.token_requests == 1


# The caller's transaction


def fail_after_a_call(request: HttpRequest) -> HttpResponse:
    get_connection(request.user).client().get("limits")
    raise LookupError


urlpatterns = [path("fail/", fail_after_a_call)]


@pytest.fixture
def atomic_requests(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ROOT_URLCONF = __name__
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)


def visit_the_failing_page(row: SalesforceConnection) -> int:
    browser = Client(raise_request_exception=False)
    browser.force_login(row.user)
    logging.disable()  # Django reports the failing view, as it should
    try:
        return browser.get("/fail/").status_code
    finally:
        logging.disable(logging.NOTSET)


@server_only
@pytest.mark.usefixtures("atomic_requests")
def test_a_view_that_is_rolled_back_keeps_the_rotated_token(site: Site) -> None:
    row = site.connect(is_default=True)

    assert visit_the_failing_page(row) == 500

    assert reload(row).generation == 2
    reload(row).refresh()
    assert is_alive(site.fake)


@sqlite_only
@pytest.mark.usefixtures("atomic_requests")
def test_where_a_claim_cannot_be_committed_the_token_is_not_spent(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = site.connect(is_default=True)
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.1)

    assert visit_the_failing_page(row) == 500

    assert reload(row).generation == 1
    assert site.fake.token_requests == 0


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds of a wait for a lock, made short for the sake of the test's time."""
    monkeypatch.setattr(store_module, "LOCK_WAIT", 1)
    if connection.vendor == "sqlite":
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.1)


@pytest.mark.usefixtures("short_waits")
def test_a_row_that_the_caller_holds_is_refused_before_the_token_is_spent(
    site: Site, row: SalesforceConnection
) -> None:
    with transaction.atomic():
        SalesforceConnection.objects.filter(pk=row.pk).update(organization_name="held")
        with pytest.raises(TemporarilyUnavailable) as caught:
            row.refresh()

    assert caught.value.code == "row_locked"
    assert site.fake.token_requests == 0
    row.refresh()
    assert site.fake.token_requests == 1


@contextmanager
def repeatable_read() -> Iterator[None]:
    statement = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute(statement)  # speaks of the transaction to come
        with transaction.atomic():
            if connection.vendor == "postgresql":
                cursor.execute(statement)  # speaks of this one
            yield


@server_only
def test_a_transaction_that_repeats_its_reads_still_gets_the_new_token(
    site: Site, row: SalesforceConnection
) -> None:
    with repeatable_read():
        mine = reload(row)
        statuses = [mine.client().get("limits").status_code for _ in range(3)]
        assert (mine.generation, reload(row).generation) == (2, 1)

    assert statuses == [200] * 3
    assert site.fake.token_requests == 1


def test_the_callers_connection_is_left_alone(site: Site, row: SalesforceConnection) -> None:
    connection.ensure_connection()
    before = connection.connection
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 UNION SELECT 2")

        row.refresh()

        assert len(cursor.fetchall()) == 2
    assert connection.connection is before


@server_only
def test_no_connection_is_held_while_salesforce_is_asked(site: Site, row: SalesforceConnection) -> None:
    with site.fake.hold() as held:
        flight = engine.submit(row.pk, row.generation)
        held.wait_for(1, timeout=SOON)

        wait_until_alone()

        assert not flight.done()
    assert flight.result(SOON).kind == "renewed"
    wait_until_alone()


# Patience


def test_a_caller_that_gives_up_early_loses_no_rotated_token(
    site: Site, row: SalesforceConnection, settings: Any
) -> None:
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "TIMEOUTS": {"wait": 0.05}}
    with site.fake.hold() as held:
        with pytest.raises(TemporarilyUnavailable) as caught:
            row.refresh()
        held.wait_for(1, timeout=SOON)
        flight = engine.submit(row.pk, row.generation, forced=True)
    assert flight.result(SOON).kind == "renewed"

    assert caught.value.code == "patience"
    assert reload(row).generation == 2
    assert site.fake.token_requests == 1


# Disconnecting


def test_a_disconnect_during_a_refresh_ends_disconnected_with_the_new_token_queued(
    site: Site, row: SalesforceConnection
) -> None:
    with site.fake.hold() as held:
        flight = engine.submit(row.pk, row.generation)
        held.wait_for(1, timeout=SOON)
        site.fake.fail_next(where="revoke")
        reload(row).disconnect()
    assert flight.result(SOON).kind == "gone"

    stored = reload(row)
    assert (stored.status, stored.access_token, stored.refresh_token) == (Status.DISCONNECTED, None, None)
    assert PendingRevocation.objects.count() == 2
    with pytest.raises(NotConnected):
        row.refresh()
