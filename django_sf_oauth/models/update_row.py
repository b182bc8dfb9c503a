"""The statement that every refresh runs twice, to claim and to store.

It is put together by hand: through the ORM, which compiles it anew each time and reads the row back, a claim and a
store cost ten times as much, and a site with a million connections pays for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import connections
from django.views.decorators.debug import sensitive_variables

from .columns import Ahead, column, later, prepared, table

__all__ = ["LOCK_WAIT", "RowUpdate", "Shape", "bound_lock_waits", "update_row"]

LOCK_WAIT = 2  # seconds that a claim or a store waits for a row that somebody holds

Shape = tuple[tuple[tuple[str, Ahead | None], ...], tuple[str, ...], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowUpdate:
    """What to write into one connection if all of `fence` still holds.

    Attributes:
        values: by field; a sealed field takes ciphertext.
        fence: by field; None is NULL.
        unless_held: scopes, which a commit of many asks for: whoever writes alone has asked before.
    """

    pk: int
    values: Mapping[str, Any] = field(repr=False)
    fence: Mapping[str, Any]
    unless_held: tuple[str, ...] = ()

    @property
    def shape(self) -> Shape:
        """What a statement for it looks like, whatever the values are."""
        moments = tuple((name, value if isinstance(value, Ahead) else None) for name, value in self.values.items())
        return moments, tuple(self.fence), bool(self.unless_held)


@sensitive_variables()
def update_row(alias: str, update: RowUpdate, *, lock_wait: int | None) -> bool:
    """Updates one connection; outside a transaction in a commit of its own.

    Args:
        lock_wait: seconds that it waits for whoever holds the row.

    Returns:
        Whether there was such a row.
    """
    connection = connections[alias]
    assignments, parameters = _assignments(update.values, connection)
    conditions, more = _conditions({"id": update.pk, **update.fence}, connection)
    before, beside = _bounds(connection, lock_wait)
    sql = f"{before}UPDATE {table(connection)} SET {assignments}{beside} WHERE {conditions}"  # noqa: S608  # no value
    with connection.cursor() as cursor:
        cursor.execute(sql, [*parameters, *more])
        return bool(cursor.rowcount)


def _assignments(values: Mapping[str, Any], connection: Any) -> tuple[str, list[Any]]:
    parts, parameters = [], []
    for name, value in values.items():
        if isinstance(value, Ahead):
            parts.append(f"{column(name, connection)} = {later(value, connection)}")
        else:
            parts.append(f"{column(name, connection)} = %s")
            parameters.append(prepared(name, value, connection))
    return ", ".join(parts), parameters


def _conditions(fence: Mapping[str, Any], connection: Any) -> tuple[str, list[Any]]:
    parts, parameters = [], []
    for name, value in fence.items():
        if value is None:
            parts.append(f"{column(name, connection)} IS NULL")
        else:
            parts.append(f"{column(name, connection)} = %s")
            parameters.append(prepared(name, value, connection))
    return " AND ".join(parts), parameters


def _bounds(connection: Any, lock_wait: int | None) -> tuple[str, str]:
    """What bounds the wait for a lock, before the statement and within it.

    Nothing may last longer than a transaction: behind PgBouncer the next one may run in another session.
    """
    if lock_wait is None:
        return "", ""
    if connection.vendor == "postgresql":
        setting = f"set_config('lock_timeout', '{lock_wait}s', true)"
        return f"WITH bounded AS MATERIALIZED (SELECT {setting}) ", " FROM bounded"
    bound_lock_waits(connection, lock_wait)
    return "", ""


def bound_lock_waits(connection: Any, seconds: int) -> None:
    """Bounds the waits for locks of the transaction that is open; of the session where there is no such thing."""
    statement = {
        "postgresql": f"SET LOCAL lock_timeout = '{seconds}s'",
        "mysql": f"SET SESSION innodb_lock_wait_timeout = {seconds}",
    }.get(connection.vendor)
    if statement:  # SQLite has its own bounded wait: the `timeout` of its OPTIONS, 5 s by default
        with connection.cursor() as cursor:
            cursor.execute(statement)
