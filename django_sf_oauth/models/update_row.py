"""The statement that every refresh runs twice, to claim and to store.

It is put together by hand: through the ORM, which compiles it anew each time and reads the row back, a claim and a
store cost ten times as much, and a site with a million connections pays for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import connections
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from .columns import Ahead, Rows, column, later, prepared, table
from .connection import SalesforceConnection
from .hold import Hold

__all__ = ["LOCK_WAIT", "RowUpdate", "Shape", "bound_lock_waits", "held", "update_free_row", "update_row"]

LOCK_WAIT = 2  # seconds that a claim or a store waits for a row that somebody holds

Shape = tuple[Rows, tuple[tuple[str, Ahead | None], ...], tuple[str, ...], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowUpdate:
    """What to write into one row if all of `fence` still holds.

    Attributes:
        values: by field; a sealed field takes ciphertext.
        fence: by field; None is NULL.
        unless_held: scopes, for which `update_row` does not ask: its caller has done so.
    """

    pk: Any
    values: Mapping[str, Any] = field(repr=False)
    fence: Mapping[str, Any] = field(repr=False)
    unless_held: tuple[str, ...] = ()
    model: Rows = SalesforceConnection

    @property
    def shape(self) -> Shape:
        """What a statement for it looks like, whatever the values are."""
        moments = tuple((name, value if isinstance(value, Ahead) else None) for name, value in self.values.items())
        return self.model, moments, tuple(self.fence), bool(self.unless_held)


@sensitive_variables()
def update_row(alias: str, update: RowUpdate) -> bool:
    """Updates one row; outside a transaction in a commit of its own. Returns whether there was such a row."""
    connection = connections[alias]
    assignments, parameters = _assignments(update, connection)
    conditions, more = _conditions(update, connection)
    sql = f"UPDATE {table(update.model, connection)} SET {assignments} WHERE {conditions}"  # noqa: S608  # no value is in it
    with connection.cursor() as cursor:
        cursor.execute(sql, [*parameters, *more])
        return bool(cursor.rowcount)


@sensitive_variables()
def update_free_row(alias: str, update: RowUpdate) -> bool:
    """As `update_row` on PostgreSQL, but waits for nobody, and for no hold on one of its scopes to end.

    Returns:
        Whether there was such a row, which nobody has locked, and no scope was held.
    """
    connection = connections[alias]
    assignments, parameters = _assignments(update, connection)
    conditions, more = _conditions(update, connection)
    if update.unless_held:
        conditions += f" AND NOT EXISTS ({held(connection)})"
        more += [list(update.unless_held), timezone.now()]
    rows, pk = table(update.model, connection), column(update.model, "pk", connection)
    free = f"SELECT {pk} FROM {rows} WHERE {conditions} FOR NO KEY UPDATE SKIP LOCKED"  # noqa: S608  # no value is in it
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {rows} SET {assignments} WHERE {pk} = ({free})", [*parameters, *more])  # noqa: S608
        return bool(cursor.rowcount)


def held(connection: Any) -> str:
    """PostgreSQL's query for holds in force; its parameters are scopes, and the moment."""
    return f"SELECT 1 FROM {table(Hold, connection)} WHERE scope = ANY(%s) AND (until IS NULL OR until > %s)"  # noqa: S608  # likewise


def _assignments(update: RowUpdate, connection: Any) -> tuple[str, list[Any]]:
    parts, parameters = [], []
    for name, value in update.values.items():
        place = column(update.model, name, connection)
        if isinstance(value, Ahead):
            parts.append(f"{place} = {later(value, connection)}")
        else:
            parts.append(f"{place} = %s")
            parameters.append(prepared(update.model, name, value, connection))
    return ", ".join(parts), parameters


def _conditions(update: RowUpdate, connection: Any) -> tuple[str, list[Any]]:
    parts, parameters = [], []
    for name, value in {"pk": update.pk, **update.fence}.items():
        place = column(update.model, name, connection)
        if value is None:
            parts.append(f"{place} IS NULL")
        else:
            parts.append(f"{place} = %s")
            parameters.append(prepared(update.model, name, value, connection))
    return " AND ".join(parts), parameters


def bound_lock_waits(connection: Any, seconds: int) -> None:
    """Bounds the waits for locks of the transaction that is open; of the session where there is no such thing.

    It is a statement before the one that may wait: PostgreSQL locks the table before it runs any of that, and
    somebody may build an index. Nothing may last longer than the transaction: behind PgBouncer the next one may
    run in another session.
    """
    statement = {
        "postgresql": f"SET LOCAL lock_timeout = '{seconds}s'",
        "mysql": f"SET SESSION innodb_lock_wait_timeout = {seconds}",
    }.get(connection.vendor)
    if statement:  # SQLite has its own bounded wait: the `timeout` of its OPTIONS, 5 s by default
        with connection.cursor() as cursor:
            cursor.execute(statement)
