"""What is due, a bounded number of rows at a time.

The statement is put together by hand, as `update_row` is: it reads on from a place, which the ORM cannot say so
that an index serves it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple, cast

from django.db import connections
from django.utils import timezone

from django_sf_oauth.grants.contract import WATCHED

from .columns import prepared, table
from .connection import SalesforceConnection

__all__ = [
    "IS_DUE",
    "IS_FREE",
    "Due",
    "DueRows",
    "Place",
    "as_due",
    "is_free",
    "later",
    "moment_for",
    "time_between",
]

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
BEFORE = {
    "postgresql": "AND next_refresh_at < (SELECT %s)",  # in brackets, as above
    "sqlite": "AND next_refresh_at < %s",
    "mysql": "AND next_refresh_at < %s",
}
BACKWARDS = "next_refresh_at DESC, id DESC"
DUE_TIME = SalesforceConnection._meta.get_field("next_refresh_at")


class Place(NamedTuple):
    """Where to read on: right after this row."""

    since: Any
    """As the database tells it."""
    pk: int


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

    @property
    def place(self) -> Place:
        return Place(self.since, self.pk)


# As its fields and `_make` do, which take as long as all else that Python has to do with a row.
is_free: Callable[[Any], bool] = itemgetter(Due._fields.index("is_free"))
as_due: Callable[[Any], Due] = partial(tuple.__new__, Due)


class DueRows:
    """The watched connections whose time has come by `now`, in the order in which it came."""

    def __init__(self, alias: str, now: datetime) -> None:
        self._connection = connections[alias]
        self._now = moment_for(self._connection, now)
        self.start = Place(moment_for(self._connection, now - EVER), 0)

    def after(
        self, place: Place, limit: int, *, before: Place | None = None, backwards: bool = False
    ) -> list[Any]:
        """What comes next, in the form of `as_due`; `before`: and fell due earlier than this place."""
        vendor = self._connection.vendor
        sql = (
            # What is claimed is told apart and not left out: so it is read in bounded time.
            f"SELECT {COLUMNS}, {IS_FREE} FROM {table(SalesforceConnection, self._connection)}"  # noqa: S608  # no value is in it
            f" WHERE {IS_DUE[vendor]} AND {AFTER[vendor]} {BEFORE[vendor] if before else ''}"
            f" ORDER BY {BACKWARDS if backwards else 'next_refresh_at, id'} LIMIT {limit}"
        )
        values = [self._now, self._now, *[place.since, *place][-AFTER[vendor].count("%s") :]]
        with self._connection.cursor() as cursor:
            cursor.execute(sql, [*values, before.since] if before else values)
            rows: list[Any] = cursor.fetchall()
            return rows


def time_between(start: Place, end: Place) -> timedelta:
    return _moment(end) - _moment(start)


def later(place: Place, *, by: timedelta) -> Place:
    """Before all that falls due at that moment."""
    return Place(_moment(place) + by, 0)


def _moment(place: Place) -> datetime:
    """In UTC if it has a time zone: what is added to it is of the clock that never goes back."""
    moment = cast("datetime", DUE_TIME.to_python(place.since))
    return moment.astimezone(UTC) if timezone.is_aware(moment) else moment


def moment_for(connection: Any, moment: datetime) -> Any:
    """The parameter for it."""
    return prepared(SalesforceConnection, "next_refresh_at", moment, connection)
