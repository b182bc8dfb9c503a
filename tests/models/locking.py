"""What somebody else's transaction holds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

from django.db import connection, connections, transaction

from django_sf_oauth.models import SalesforceConnection

__all__ = ["locked", "referred_to", "table_locked"]

SOON = 30.0  # seconds; nothing here takes so long
TABLE = SalesforceConnection._meta.db_table


def locked(row: SalesforceConnection) -> AbstractContextManager[None]:
    """The row itself, as by whoever is about to change it."""
    return _held(lambda: list(SalesforceConnection.objects.select_for_update().filter(pk=row.pk)))


def referred_to(row: SalesforceConnection) -> AbstractContextManager[None]:
    """The key of the row, as PostgreSQL does for whoever inserts what refers to it."""
    return _held(lambda: _execute(f"SELECT id FROM {TABLE} WHERE id = {row.pk:d} FOR KEY SHARE"))  # noqa: S608  # a number


def table_locked() -> AbstractContextManager[None]:
    """The whole table against changes, as PostgreSQL does while an index is built."""
    return _held(lambda: _execute(f"LOCK TABLE {TABLE} IN SHARE MODE"))


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


@contextmanager
def _held(take: Callable[[], object]) -> Iterator[None]:
    held, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            take()
            held.set()
            may_end.wait(SOON)
        connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(hold)
        assert held.wait(SOON)
        try:
            yield
        finally:
            may_end.set()
