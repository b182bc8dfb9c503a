"""The one statement by which PostgreSQL updates many rows, each fenced by itself.

Its text says what the updates have in common and none of their values, so that it is put together once and kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple
from uuid import UUID

from django.db import connections
from django.utils import timezone

from django_sf_oauth.fields import Ciphertext

from .columns import Ahead, Rows, column, database_type, later, prepared, table
from .update_row import RowUpdate, held

__all__ = ["update_statement"]

SEPARATOR = ","  # is in no value that was sealed
PLAIN = (int, float, UUID, datetime)  # an array may show them as they are, without quotes
TEXTS = 200  # that are kept; a site needs about a dozen

Form = Literal["null", "same", "each", "sealed"] | Ahead
Forms = tuple[tuple[str, Form], ...]
"""By field: what the updates say of it."""


class _Field(NamedTuple):
    name: str
    form: Form
    parameter: Any = None
    """One value, or what lists those of all updates."""


def update_statement(
    updates: Sequence[RowUpdate], unless_held: Sequence[str], connection: Any
) -> tuple[str, list[Any]]:
    """Locks the rows whose fence holds, as far as nobody has locked them, and updates those.

    Args:
        updates: of one shape and of different rows.
        unless_held: scopes; while one of them is held, no row is updated.

    Returns:
        The statement, which returns the primary keys of what it updated, and its parameters.
    """
    model = updates[0].model
    keys = _listed(model, "pk", [update.pk for update in updates], connection)
    fence = _fields(model, [update.fence for update in updates], connection)
    values = _fields(model, [update.values for update in updates], connection)
    holds = [list(unless_held), timezone.now()] if unless_held else []
    sql = _sql(connection.alias, model, _forms(fence), _forms(values), asks_for_holds=bool(unless_held))
    lists = [field.parameter for field in (keys, *fence, *values) if field.form in ("each", "sealed")]
    return sql, [*lists, *_singles(fence), *holds, *_singles(values)]


def _fields(model: Rows, updates: Sequence[Mapping[str, Any]], connection: Any) -> list[_Field]:
    return [_field(model, name, [update[name] for update in updates], connection) for name in updates[0]]


def _field(model: Rows, name: str, found: list[Any], connection: Any) -> _Field:
    first = found[0]
    if isinstance(first, Ahead):
        return _Field(name, first)
    if found.count(first) < len(found):
        return _listed(model, name, found, connection)
    if first is None:
        return _Field(name, "null")
    return _Field(name, "same", prepared(model, name, first, connection))


def _listed(model: Rows, name: str, found: list[Any], connection: Any) -> _Field:
    if all(isinstance(value, Ciphertext) for value in found):
        # As one text: to write an array of bytes takes as long as to seal them.
        return _Field(name, "sealed", SEPARATOR.join(value.decode("ascii") for value in found))
    return _Field(name, "each", _array([prepared(model, name, value, connection) for value in found]))


def _array(found: list[Any]) -> list[Any] | str:
    """PostgreSQL's text of an array, where that needs no quotes; it takes a third of the time then."""
    if all(value is None or isinstance(value, PLAIN) for value in found):
        return "{" + ",".join("NULL" if value is None else str(value) for value in found) + "}"
    return found


def _forms(fields: Sequence[_Field]) -> Forms:
    return tuple(field[:2] for field in fields)


def _singles(fields: Sequence[_Field]) -> list[Any]:
    return [field.parameter for field in fields if field.form == "same"]


@lru_cache(TEXTS)
def _sql(alias: str, model: Rows, fence: Forms, values: Forms, *, asks_for_holds: bool) -> str:
    connection = connections[alias]
    rows, pk = table(model, connection), column(model, "pk", connection)
    wanted = _Wanted(model, connection)
    wanted.add("pk", "pk", "each")
    conditions = [_condition(name, form, wanted) for name, form in fence]
    assignments = [_assignment(name, form, wanted) for name, form in values]
    if asks_for_holds:
        conditions.append(f"NOT EXISTS ({held(connection)})")
    return (
        f"WITH free AS (SELECT w.* FROM {rows} r JOIN ({wanted.sql()}) w ON r.{pk} = w.pk"  # noqa: S608  # no value is in it
        f" WHERE {' AND '.join(conditions)} FOR NO KEY UPDATE OF r SKIP LOCKED)"
        f" UPDATE {rows} u SET {', '.join(assignments)} FROM free w WHERE u.{pk} = w.pk RETURNING u.{pk}"
    )


def _condition(name: str, form: Form, wanted: _Wanted) -> str:
    field = f"r.{wanted.column(name)}"
    if form == "null":
        return f"{field} IS NULL"
    if form == "same":
        return f"{field} = %s"
    return f"{field} IS NOT DISTINCT FROM w.{wanted.add(f'f_{name}', name, form)}"


def _assignment(name: str, form: Form, wanted: _Wanted) -> str:
    field = wanted.column(name)
    if isinstance(form, Ahead):
        return f"{field} = {later(form, wanted.connection)}"
    if form == "null":
        return f"{field} = NULL"
    if form == "same":
        return f"{field} = %s"
    return f"{field} = w.{wanted.add(f'v_{name}', name, form)}"


class _Wanted:
    """A table with a line for each update, of what is not the same for all of them."""

    def __init__(self, model: Rows, connection: Any) -> None:
        self._model = model
        self.connection = connection
        self._columns: list[str] = []
        self._arrays: list[str] = []
        self._shown: list[str] = []

    def column(self, name: str) -> str:
        """Of the table that is updated."""
        return column(self._model, name, self.connection)

    def add(self, alias: str, name: str, form: Form) -> str:
        """Takes the values of a field into the table; gives their column's name."""
        self._columns.append(alias)
        if form == "sealed":
            self._arrays.append(f"string_to_array(%s, '{SEPARATOR}')")
            self._shown.append(f"convert_to({alias}, 'UTF8') AS {alias}")
        else:
            self._arrays.append(f"%s::{database_type(self._model, name, self.connection)}[]")
            self._shown.append(alias)
        return alias

    def sql(self) -> str:
        columns, arrays, shown = (", ".join(one) for one in (self._columns, self._arrays, self._shown))
        return f"SELECT {shown} FROM unnest({arrays}) AS given ({columns})"  # noqa: S608  # likewise
