"""The ways in which 32 callers can meet one expired token: ours, by hand, and with locks."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_sf_oauth.models import SalesforceConnection

__all__ = ["BY_HAND", "DATABASE", "EXCHANGE", "OURS", "REDIS_LOCK", "ROW_LOCK", "SOON", "ask", "ways_of"]

REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/0")
DATABASE = "sf_oauth_stampede"
EXCHANGE = 0.2  # seconds that the token endpoint takes
SOON = 60.0  # seconds

OURS, BY_HAND = "django-sf-oauth", "lease and looks by hand"
ROW_LOCK, REDIS_LOCK = "row lock held over HTTP", "redis-py Lock"

TABLE = "django_sf_oauth_salesforceconnection"
NOW = "extract(epoch FROM now()) * 1000"
CLAIM = (
    f"UPDATE {TABLE} SET lease_until = {NOW} + 60000 WHERE id = %s AND generation = %s"  # noqa: S608  # no value is in it
    f" AND (lease_until IS NULL OR lease_until < {NOW})"
)
LOOK = f"SELECT 1 FROM {TABLE} WHERE id = %s AND generation > %s"  # noqa: S608  # likewise
STORE = (
    f"UPDATE {TABLE} SET generation = generation + 1, lease_until = NULL"  # noqa: S608  # likewise
    " WHERE id = %s AND generation = %s"
)
FIRST_LOOK = (1.03, 1.06)  # of what the exchange takes, so that it has been stored
NEXT_LOOK = (0.003, 0.006)  # seconds


def ways_of(origin: str, pk: int) -> Mapping[str, Callable[[SalesforceConnection], None]]:
    import redis
    import requests
    from django.db import transaction
    from django.db.models import F

    from django_sf_oauth.models import SalesforceConnection

    http = requests.Session()
    lock_server = redis.Redis.from_url(REDIS)
    rows = SalesforceConnection.objects.filter(pk=pk)

    def refresh_if_stale(row: SalesforceConnection) -> None:
        """The least that anybody does: look again, ask, store."""
        if rows.values_list("generation", flat=True).get() == row.generation:
            sealed = SalesforceConnection.objects.get(pk=pk).refresh_token
            assert sealed is not None
            ask(http, origin, sealed.reveal())
            rows.update(generation=F("generation") + 1)

    def row_lock(row: SalesforceConnection) -> None:
        with transaction.atomic():
            rows.select_for_update().get()
            refresh_if_stale(row)

    def redis_lock(row: SalesforceConnection) -> None:
        with lock_server.lock(f"{DATABASE}:{pk}", timeout=SOON):
            refresh_if_stale(row)

    return {
        OURS: lambda row: row.renew(row.generation),
        BY_HAND: ByHand(http, origin, pk).renew,
        ROW_LOCK: row_lock,
        REDIS_LOCK: redis_lock,
    }


class ByHand:
    """One caller of a process claims the row by a lease and asks, or looks until it is stored; no more than that.

    It seals and stores no token and classifies no answer, it waits for how long it is told that an exchange
    takes, and whoever it is done for does not get the tokens: what this machine takes for the design itself.
    """

    def __init__(self, http: Any, origin: str, pk: int) -> None:
        self._http, self._origin, self._pk = http, origin, pk
        self._lock = threading.Lock()
        self._flights: dict[int, Future[None]] = {}

    def renew(self, row: SalesforceConnection) -> None:
        with self._lock:
            is_first = row.generation not in self._flights
            flight = self._flights.setdefault(row.generation, Future())
        if is_first:
            try:
                self._refresh(row)
            finally:
                flight.set_result(None)
        flight.result()

    def _refresh(self, row: SalesforceConnection) -> None:
        if self._execute(CLAIM, row.generation):
            assert row.refresh_token is not None
            ask(self._http, self._origin, row.refresh_token.reveal())
            assert self._execute(STORE, row.generation)
            return
        time.sleep(EXCHANGE * random.uniform(*FIRST_LOOK))  # noqa: S311  # spreads looks
        while not self._execute(LOOK, row.generation):
            time.sleep(random.uniform(*NEXT_LOOK))  # noqa: S311  # likewise

    def _execute(self, sql: str, generation: int) -> bool:
        """In a commit of its own, on a connection that is given back."""
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(sql, [self._pk, generation])
            found = bool(cursor.rowcount)
        connection.close()
        return found


def ask(http: Any, origin: str, refresh_token: str) -> None:
    form = {
        "grant_type": "refresh_token",
        "client_id": "benchmark",
        "client_secret": "benchmark",
        "refresh_token": refresh_token,
    }
    http.post(f"{origin}/services/oauth2/token", data=form, timeout=SOON).raise_for_status()
