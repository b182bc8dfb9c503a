"""A crumb of SOQL: ``SELECT fields FROM object [ORDER BY field [DESC]] [LIMIT n]``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

QUERY = re.compile(
    r"\s*SELECT\s+(?P<fields>\w+(?:\s*,\s*\w+)*)\s+FROM\s+(?P<kind>\w+)"
    r"(?:\s+ORDER\s+BY\s+(?P<order>\w+)(?:\s+(?P<way>ASC|DESC))?)?(?:\s+LIMIT\s+(?P<limit>\d+))?\s*",
    re.IGNORECASE,
)

Row = Mapping[str, Any]


class MalformedQuery(Exception):
    """The text is what the answer says."""


def select(soql: str, tables: Mapping[str, Sequence[Row]]) -> tuple[str, list[dict[str, Any]]]:
    """Runs the query.

    Returns:
        The object's name and the rows, each with the fields that were asked for.

    Raises:
        MalformedQuery: it is not within the crumb, or names what is not there.
    """
    match = QUERY.fullmatch(soql)
    if match is None:
        raise MalformedQuery("unexpected token; this fake knows SELECT … FROM … [ORDER BY …] [LIMIT …]")
    kind = next((name for name in tables if name.lower() == match["kind"].lower()), None)
    if kind is None:
        raise MalformedQuery(f"sObject type '{match['kind']}' is not supported.")
    if not tables[kind]:
        return kind, []  # without rows it knows no columns, and Salesforce answers an empty list
    columns = {name.lower(): name for row in tables[kind] for name in row}
    rows: Sequence[Row] = tables[kind]
    if match["order"]:
        rows = _ordered(rows, _column(columns, match["order"], kind), match["way"] or "ASC")
    fields = [_column(columns, name.strip(), kind) for name in match["fields"].split(",")]
    limit = int(match["limit"]) if match["limit"] else None
    return kind, [{field: row.get(field) for field in fields} for row in rows[:limit]]


def _column(columns: Mapping[str, str], name: str, kind: str) -> str:
    try:
        return columns[name.lower()]
    except KeyError:
        raise MalformedQuery(f"No such column '{name}' on entity '{kind}'.") from None


def _ordered(rows: Sequence[Row], column: str, way: str) -> Sequence[Row]:
    """Rows without a value come first, as Salesforce's NULLS FIRST has it; a column holds one type."""
    return sorted(
        rows,
        key=lambda row: (row.get(column) is not None, row.get(column) or 0),
        reverse=way.upper() == "DESC",
    )
