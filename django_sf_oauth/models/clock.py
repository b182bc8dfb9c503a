"""The one clock that all machines share: the database's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.models import BigIntegerField, Func
from django.db.models.sql.compiler import SQLCompiler

__all__ = ["MILLISECONDS", "DatabaseClock", "database_now"]

MILLISECONDS: Mapping[str, str] = {
    # clock_timestamp() goes on while a statement waits for a lock; now() stands still.
    "postgresql": "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint",
    # UNIX_TIMESTAMP() reads local time, of which one hour comes twice a year.
    "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000",
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
}


class DatabaseClock(Func):
    """Milliseconds since 1970 by the database's clock, read while the statement runs.

    Leases are compared on it because web servers' clocks differ. A plain number rather than a timestamp: it does
    not depend on ``USE_TZ`` or on the time zone of a session.
    """

    output_field = BigIntegerField()

    def as_sql(self, compiler: SQLCompiler, connection: Any, *args: Any, **context: Any) -> Any:
        return super().as_sql(compiler, connection, template=MILLISECONDS[connection.vendor])


def database_now(alias: str) -> datetime:
    """The time by the database's clock, in the form of `timezone.now()`."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {MILLISECONDS[connection.vendor]}")
        (milliseconds,) = cursor.fetchone()
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC if settings.USE_TZ else None)
