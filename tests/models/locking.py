"""A row that somebody else's transaction holds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from django.db import connections, transaction

from django_sf_oauth.models import SalesforceConnection

__all__ = ["locked"]

SOON = 30.0  # seconds; nothing here takes so long


@contextmanager
def locked(row: SalesforceConnection) -> Iterator[None]:
    """Somebody else's transaction holds the row."""
    held, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            list(SalesforceConnection.objects.select_for_update().filter(pk=row.pk))
            held.set()
            may_end.wait(SOON)
        connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(hold)
        assert held.wait(SOON)
        yield
        may_end.set()
