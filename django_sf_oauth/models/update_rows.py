"""Many claims and stores in one commit, which costs little more than one of them.

It waits for no row: one that somebody has locked, or that has changed, is left out and its caller takes care.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections, transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from django_sf_oauth.fields import Ciphertext

from .columns import Ahead, Rows, column, database_type, later, prepared, table
from .hold import Hold
from .update_row import LOCK_WAIT, RowUpdate, bound_lock_waits, update_row

__all__ = ["update_rows"]

SEPARATOR = ","  # is in no value that was sealed


@sensitive_variables()
def update_rows(alias: str, updates: Sequence[RowUpdate]) -> set[Any]:
    """Makes those updates that can be made at once, each fenced by its own row.

    Args:
        updates: of one shape and of different rows. While one of the scopes that they name is held, none is made.

    Returns:
        The primary keys of the rows that were updated, and are committed.
    """
    scopes = sorted({scope for update in updates for scope in update.unless_held})
    update = _in_one_statement if connections[alias].vendor == "postgresql" else _in_one_transaction
    return set(update(alias, updates, scopes))


def _in_one_statement(alias: str, updates: Sequence[RowUpdate], unless_held: Sequence[str]) -> list[Any]:
    connection = connections[alias]
    sql, parameters = _statement(updates, unless_held, connection)
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [pk for (pk,) in cursor.fetchall()]


def _statement(updates: Sequence[RowUpdate], unless_held: Sequence[str], connection: Any) -> tuple[str, list[Any]]:
    """Locks the rows whose fence holds, as far as nobody has locked them, and updates those (PostgreSQL)."""
    model = updates[0].model
    wanted = _Wanted(model, connection)
    wanted.lists("pk", [update.pk for update in updates])
    conditions, parameters = [], []
    for name in updates[0].fence:
        condition, more = wanted.compares(name, [update.fence[name] for update in updates])
        conditions.append(condition)
        parameters += more
    held, scopes = _held(unless_held, connection)
    conditions += [f"NOT EXISTS ({held})"] if held else []
    parameters += scopes
    assignments = []
    for name in updates[0].values:
        assignment, more = wanted.sets(name, [update.values[name] for update in updates])
        assignments.append(assignment)
        parameters += more
    rows, pk = table(model, connection), column(model, "pk", connection)
    sql = (
        f"WITH w AS ({wanted.sql()}),"  # noqa: S608  # no value is in it
        f" free AS (SELECT r.{pk} AS pk FROM {rows} r JOIN w ON r.{pk} = w.pk WHERE {' AND '.join(conditions)}"
        " FOR UPDATE OF r SKIP LOCKED)"
        f" UPDATE {rows} u SET {', '.join(assignments)}"
        f" FROM w JOIN free ON free.pk = w.pk WHERE u.{pk} = w.pk RETURNING u.{pk}"
    )
    return sql, [*wanted.parameters, *parameters]


class _Wanted:
    """A table with a line for each update, of what is not the same for all of them."""

    def __init__(self, model: Rows, connection: Any) -> None:
        self._model = model
        self._connection = connection
        self._columns: dict[str, list[Any] | str] = {}
        self._arrays: list[str] = []
        self._shown: list[str] = []

    def compares(self, name: str, found: list[Any]) -> tuple[str, list[Any]]:
        """The condition on a field, and its parameters."""
        field = f"r.{column(self._model, name, self._connection)}"
        if not _are_alike(found):
            return f"{field} IS NOT DISTINCT FROM {self._listed('f', name, found)}", []
        if found[0] is None:
            return f"{field} IS NULL", []
        return f"{field} = %s", [prepared(self._model, name, found[0], self._connection)]

    def sets(self, name: str, found: list[Any]) -> tuple[str, list[Any]]:
        """The assignment to a field, and its parameters."""
        field = column(self._model, name, self._connection)
        if isinstance(found[0], Ahead):
            return f"{field} = {later(found[0], self._connection)}", []
        if _are_alike(found):
            return f"{field} = %s", [prepared(self._model, name, found[0], self._connection)]
        return f"{field} = {self._listed('v', name, found)}", []

    def _listed(self, kind: str, name: str, found: list[Any]) -> str:
        self.lists(name, found, alias=f"{kind}_{name}")
        return f"w.{kind}_{name}"

    def lists(self, name: str, found: list[Any], *, alias: str = "") -> None:
        """Takes the values of a field into the table."""
        alias = alias or name
        if all(isinstance(value, Ciphertext) for value in found):
            # As one text: to write an array of bytes takes as long as to seal them.
            self._columns[alias] = SEPARATOR.join(value.decode("ascii") for value in found)
            self._arrays.append(f"string_to_array(%s, '{SEPARATOR}')")
            self._shown.append(f"convert_to({alias}, 'UTF8') AS {alias}")
        else:
            self._columns[alias] = [prepared(self._model, name, value, self._connection) for value in found]
            self._arrays.append(f"%s::{database_type(self._model, name, self._connection)}[]")
            self._shown.append(alias)

    def sql(self) -> str:
        columns, arrays, shown = (", ".join(one) for one in (self._columns, self._arrays, self._shown))
        return f"SELECT {shown} FROM unnest({arrays}) AS given ({columns})"  # noqa: S608  # likewise

    @property
    def parameters(self) -> list[list[Any] | str]:
        return list(self._columns.values())


def _are_alike(found: Sequence[Any]) -> bool:
    return all(value == found[0] for value in found)


def _held(scopes: Sequence[str], connection: Any) -> tuple[str, list[Any]]:
    if not scopes:
        return "", []
    holds = connection.ops.quote_name(Hold._meta.db_table)
    until = Hold._meta.get_field("until").get_db_prep_save(timezone.now(), connection)
    marks = ", ".join(["%s"] * len(scopes))
    condition = f"scope IN ({marks}) AND (until IS NULL OR until > %s)"
    return f"SELECT 1 FROM {holds} WHERE {condition}", [*scopes, until]  # noqa: S608  # no value is in it


def _in_one_transaction(alias: str, updates: Sequence[RowUpdate], unless_held: Sequence[str]) -> list[Any]:
    with transaction.atomic(using=alias):
        bound_lock_waits(connections[alias], LOCK_WAIT)
        if _is_held(alias, unless_held):
            return []
        free = _lock(alias, updates)
        return [update.pk for update in updates if update.pk in free and update_row(alias, update, lock_wait=None)]


def _is_held(alias: str, scopes: Sequence[str]) -> bool:
    connection = connections[alias]
    held, parameters = _held(scopes, connection)
    if not held:
        return False
    with connection.cursor() as cursor:
        cursor.execute(held, parameters)
        return cursor.fetchone() is not None


def _lock(alias: str, updates: Sequence[RowUpdate]) -> set[Any]:
    """Those rows that nobody else has locked."""
    connection, model = connections[alias], updates[0].model
    keys = [update.pk for update in updates]
    if not connection.features.has_select_for_update_skip_locked:
        return set(keys)  # SQLite locks the whole file; an old MariaDB waits for each row
    rows = model._base_manager.using(alias).filter(pk__in=keys)
    return set(rows.select_for_update(skip_locked=True).order_by().values_list("pk", flat=True))
