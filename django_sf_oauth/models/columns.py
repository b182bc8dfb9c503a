"""What the statements that are put together by hand know of a model's table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db import connections
from django.db.models import Model

from .clock import MILLISECONDS

__all__ = ["Ahead", "Rows", "column", "database_type", "later", "prepared", "table"]

Rows = type[Model]


@dataclass(frozen=True, slots=True)
class Ahead:
    """So many milliseconds from now, by the database's clock."""

    milliseconds: int


def table(model: Rows, connection: Any) -> str:
    return str(connection.ops.quote_name(model._meta.db_table))


def column(model: Rows, name: str, connection: Any) -> str:
    return _column(model, name, connection.alias)


@cache
def _column(model: Rows, name: str, alias: str) -> str:
    return str(connections[alias].ops.quote_name(_field(model, name).column))


def database_type(model: Rows, name: str, connection: Any) -> str:
    """Of a column that refers to this field's values, so that a key is a plain number."""
    return _database_type(model, name, connection.alias)


@cache
def _database_type(model: Rows, name: str, alias: str) -> str:
    return str(_field(model, name).rel_db_type(connections[alias]))


def prepared(model: Rows, name: str, value: Any, connection: Any) -> Any:
    """The parameter for a field's value; None stays NULL."""
    return None if value is None else _field(model, name).get_db_prep_save(value, connection)


def later(moment: Ahead, connection: Any) -> str:
    return f"{MILLISECONDS[connection.vendor]} + {moment.milliseconds:d}"


@cache
def _field(model: Rows, name: str) -> Any:
    return model._meta.pk if name == "pk" else model._meta.get_field(name)
