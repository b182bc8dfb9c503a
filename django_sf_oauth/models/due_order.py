"""What is due, read page by page.

The statement is put together by hand, as `update_row` is: a page is read where the last one ended, which the ORM
cannot say so that an index serves it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

from django.db import connections

from django_sf_oauth.grants.contract import WATCHED

from .columns import prepared, table
from .connection import SalesforceConnection

__all__ = ["IS_DUE", "IS_FREE", "PAGE", "Due", "in_due_order", "moment_for"]

PAGE = 1000  # rows of one reading
STATUSES = ", ".join(f"'{status}'" for status in sorted(WATCHED))
COLUMNS = "id, organization_id, app, login_url, next_refresh_at"
IS_FREE = "(claimed_until IS NULL OR claimed_until <= %s)"
EVER = timedelta(days=36500)

IS_DUE = {
    # The planner does not look into the brackets. From a value it would conclude, by statistics that are older
    # than what is due now, that very few rows are, and each time read all of them and sort.
    "postgresql": f"next_refresh_at <= (SELECT %s) AND status IN ({STATUSES})",
    "sqlite": f"next_refresh_at <= %s AND status IN ({STATUSES})",
    "mysql": f"next_refresh_at <= %s AND status IN ({STATUSES})",
}
# Rows that fell due at one moment are told apart by their keys, however many there are.
AFTER = {
    "postgresql": "(next_refresh_at, id) > (%s, %s)",
    "sqlite": "(next_refresh_at, id) > (%s, %s)",
    # MariaDB finds no range in a comparison of pairs.
    "mysql": "(next_refresh_at > %s OR (next_refresh_at = %s AND id > %s))",
}


class Due(NamedTuple):
    """A connection whose time has come."""

    pk: int
    organization_id: str
    app: str
    login_url: str
    since: Any = None
    """As the database tells it; None once it waits for its turn."""
    is_free: bool = True
    """Whether no sweep had claimed it when it was read."""


# As its fields and `_make` do, which take as long as all else that Python has to do with a row.
_is_free: Callable[[Any], bool] = itemgetter(Due._fields.index("is_free"))
_due: Callable[[Any], Due] = partial(tuple.__new__, Due)


def in_due_order(alias: str, now: datetime) -> Iterator[Due]:
    """The watched connections whose time has come and that nobody has claimed, longest overdue first.

    They may be claimed as it goes on. Each is looked at once: what has been passed is not read again.
    """
    connection = connections[alias]
    moment, pk = moment_for(connection, now - EVER), 0
    while rows := _page(connection, moment_for(connection, now), moment, pk):
        yield from map(_due, filter(_is_free, rows))
        last = _due(rows[-1])
        pk, moment = last.pk, last.since
        if len(rows) < PAGE:
            return


def _page(connection: Any, now: Any, moment: Any, pk: int) -> Any:
    after = AFTER[connection.vendor]
    marks = [moment, moment, pk][-after.count("%s") :]
    sql = (
        # What is claimed is told apart here and not left out: so each page is read in bounded time.
        f"SELECT {COLUMNS}, {IS_FREE} FROM {table(SalesforceConnection, connection)}"  # noqa: S608  # no value is in it
        f" WHERE {IS_DUE[connection.vendor]} AND {after}"
        f" ORDER BY next_refresh_at, id LIMIT {PAGE}"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [now, now, *marks])
        return cursor.fetchall()


def moment_for(connection: Any, moment: datetime) -> Any:
    """The parameter for it."""
    return prepared(SalesforceConnection, "next_refresh_at", moment, connection)
