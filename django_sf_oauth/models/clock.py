"""The one clock that all machines share: the database's."""

from __future__ import annotations

from typing import Any

from django.db.models import BigIntegerField, Func
from django.db.models.sql.compiler import SQLCompiler

__all__ = ["DatabaseClock"]


class DatabaseClock(Func):
    """Milliseconds since 1970 by the database's clock, read while the statement runs.

    Leases are compared on it because web servers' clocks differ. A plain number rather than a timestamp: it does
    not depend on ``USE_TZ`` or on the time zone of a session.
    """

    output_field = BigIntegerField()
    template = ""  # each backend has its own, below

    def as_postgresql(self, compiler: SQLCompiler, connection: Any, **context: Any) -> Any:
        # clock_timestamp() goes on while a statement waits for a lock; now() stands still.
        return self.as_sql(compiler, connection, template="(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint")

    def as_mysql(self, compiler: SQLCompiler, connection: Any, **context: Any) -> Any:
        # UNIX_TIMESTAMP() reads local time, of which one hour comes twice a year.
        microseconds = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
        return self.as_sql(compiler, connection, template=f"{microseconds} DIV 1000")

    def as_sqlite(self, compiler: SQLCompiler, connection: Any, **context: Any) -> Any:
        julian_days = "(julianday('now') - 2440587.5) * 86400000"
        return self.as_sql(compiler, connection, template=f"CAST({julian_days} AS INTEGER)")
