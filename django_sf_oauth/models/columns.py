"""What the statements that are put together by hand know of the connections' table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from .clock import MILLISECONDS
from .connection import SalesforceConnection

__all__ = ["Ahead", "column", "database_type", "later", "prepared", "table"]


@dataclass(frozen=True, slots=True)
class Ahead:
    """So many milliseconds from now, by the database's clock."""

    milliseconds: int


def table(connection: Any) -> str:
    return str(connection.ops.quote_name(SalesforceConnection._meta.db_table))


def column(name: str, connection: Any) -> str:
    return str(connection.ops.quote_name(_field(name).column))


def database_type(name: str, connection: Any) -> str:
    """Of a column that refers to this field's values, so that a key is a plain number."""
    return str(_field(name).rel_db_type(connection))


def prepared(name: str, value: Any, connection: Any) -> Any:
    """The parameter for a field's value; None stays NULL."""
    return None if value is None else _field(name).get_db_prep_save(value, connection)


def later(moment: Ahead, connection: Any) -> str:
    return f"{MILLISECONDS[connection.vendor]} + {moment.milliseconds:d}"


@cache
def _field(name: str) -> Any:
    return SalesforceConnection._meta.get_field(name)
