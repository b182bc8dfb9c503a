"""Keys are rotated while a site refreshes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from django.test import override_settings

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.services.keys import rotate_keys
from django_sf_oauth.testing import FakeSalesforce

from .faults.databases import server_only
from .fleet import connect_many
from .test_keys import NEW, OLD, key_id, tokens

WRITERS = 20
ROTATIONS = 20
SOON = 60.0  # seconds; nothing here takes so long


@server_only
@pytest.mark.django_db(transaction=True)
def test_rotating_keys_under_twenty_writers_loses_no_newer_token(fake_salesforce: FakeSalesforce) -> None:
    """Each refresh rotates its refresh token, and Salesforce ends a grant of which it sees an older one again."""
    stop = threading.Event()

    def refresh_again_and_again(pk: int) -> int:
        done = 0
        while not stop.is_set():
            SalesforceConnection.objects.get(pk=pk).refresh()
            done += 1
        connections.close_all()
        return done

    with override_settings(FERNET_KEYS=[OLD, NEW]), ThreadPoolExecutor(WRITERS) as writers:
        rows = connect_many(fake_salesforce, WRITERS)
        refreshed = [writers.submit(refresh_again_and_again, row.pk) for row in rows]
        try:
            for number in range(ROTATIONS):
                with override_settings(FERNET_KEYS=[[NEW, OLD], [OLD, NEW]][number % 2]):
                    rotate_keys(batch=7)
        finally:
            stop.set()
        counts = [one.result(SOON) for one in refreshed]
        with override_settings(FERNET_KEYS=[NEW, OLD]):
            rotation = rotate_keys()

    assert min(counts) > 0
    assert rotation.after == {key_id(NEW): 2 * WRITERS}
    with override_settings(FERNET_KEYS=[NEW]):
        assert all(tokens(row.pk) for row in rows)
        for row in SalesforceConnection.objects.all():
            row.refresh()
    assert {exchange.outcome for exchange in fake_salesforce.journal.token_requests()} == {"ok"}
