"""The statement that every refresh runs twice, to claim and to store.

It is put together by hand: through the ORM, which compiles it anew each time and reads the row back, a claim and a
store cost ten times as much, and a site with a million connections pays for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.views.decorators.debug import sensitive_variables

from .clock import MILLISECONDS
from .connection import SalesforceConnection

__all__ = ["Ahead", "bound_lock_waits", "update_row"]


@dataclass(frozen=True, slots=True)
class Ahead:
    """So many milliseconds from now, by the database's clock."""

    milliseconds: int


@sensitive_variables()
def update_row(
    alias: str, pk: int, values: Mapping[str, Any], *, fence: Mapping[str, Any], lock_wait: int | None
) -> bool:
    """Updates one connection where all of `fence` still holds; outside a transaction in a commit of its own.

    Args:
        values: by field; a sealed field takes ciphertext.
        fence: by field; None is NULL.
        lock_wait: seconds that it waits for whoever holds the row.

    Returns:
        Whether there was such a row.
    """
    connection = connections[alias]
    assignments, parameters = _assignments(values, connection)
    conditions, more = _conditions({"id": pk, **fence}, connection)
    table = connection.ops.quote_name(SalesforceConnection._meta.db_table)
    before, beside = _bounds(connection, lock_wait)
    sql = f"{before}UPDATE {table} SET {assignments}{beside} WHERE {conditions}"  # noqa: S608  # no value is in it
    with connection.cursor() as cursor:
        cursor.execute(sql, [*parameters, *more])
        return bool(cursor.rowcount)


def _assignments(values: Mapping[str, Any], connection: Any) -> tuple[str, list[Any]]:
    parts, parameters = [], []
    for name, value in values.items():
        column = connection.ops.quote_name(_field(name).column)
        if value is None:
            parts.append(f"{column} = NULL")
        elif isinstance(value, Ahead):
            parts.append(f"{column} = {MILLISECONDS[connection.vendor]} + {value.milliseconds:d}")
        else:
            parts.append(f"{column} = %s")
            parameters.append(_field(name).get_db_prep_save(value, connection))
    return ", ".join(parts), parameters


def _conditions(fence: Mapping[str, Any], connection: Any) -> tuple[str, list[Any]]:
    parts, parameters = [], []
    for name, value in fence.items():
        column = connection.ops.quote_name(_field(name).column)
        if value is None:
            parts.append(f"{column} IS NULL")
        else:
            parts.append(f"{column} = %s")
            parameters.append(_field(name).get_db_prep_save(value, connection))
    return " AND ".join(parts), parameters


def _field(name: str) -> Any:
    return SalesforceConnection._meta.get_field(name)


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
