"""The statements of a sweep: what is due is read and claimed, and goes to the end of the queue if it fails.

The first two are put together by hand, as `update_row` is: a page is read where the last one ended, which the ORM
cannot say so that an index serves it, and fifty thousand rows a second leave no time for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

from django.db import connections, transaction
from django.db.models import Case, F, Value, When

from django_sf_oauth.grants.contract import WATCHED

from .connection import SalesforceConnection

__all__ = ["PAGE", "Due", "claim", "due_since", "in_due_order", "queue_up"]

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
CLAIM = {
    # Joined rather than looked up with IN, by which PostgreSQL would find each row twice.
    "postgresql": "UPDATE {table} AS row SET claimed_until = %s FROM"
    " (SELECT id FROM {table} WHERE id = ANY(%s) AND {is_due} AND {is_free} FOR UPDATE SKIP LOCKED) AS free"
    " WHERE row.id = free.id RETURNING row.id",
    "sqlite": "UPDATE {table} SET claimed_until = %s"
    " WHERE id IN (SELECT value FROM json_each(%s)) AND {is_due} AND {is_free} RETURNING id",
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


_is_free: Callable[[Due], bool] = attrgetter("is_free")


def in_due_order(alias: str, now: datetime) -> Iterator[Due]:
    """The watched connections whose time has come and that nobody has claimed, longest overdue first.

    They may be claimed as it goes on. Each is looked at once: what has been passed is not read again.
    """
    moment, pk = _prepared(alias, now - EVER), 0
    while rows := _page(alias, now, moment, pk):
        yield from filter(_is_free, map(Due._make, rows))
        last = Due._make(rows[-1])
        pk, moment = last.pk, last.since
        if len(rows) < PAGE:
            return


def _page(alias: str, now: datetime, moment: Any, pk: int) -> Any:
    connection = connections[alias]
    after = AFTER[connection.vendor]
    marks = [moment, moment, pk][-after.count("%s") :]
    at = _prepared(alias, now)
    sql = (
        # What is claimed is told apart here and not left out: so each page is read in bounded time.
        f"SELECT {COLUMNS}, {IS_FREE} FROM {_table(connection)}"  # noqa: S608  # no value is in it
        f" WHERE {IS_DUE[connection.vendor]} AND {after}"
        f" ORDER BY next_refresh_at, id LIMIT {PAGE}"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [at, at, *marks])
        return cursor.fetchall()


def claim(alias: str, ids: Sequence[int], *, now: datetime, until: datetime) -> list[int]:
    """Takes those that are still due and free until `until`; of two claims at once, one gets each.

    Returns:
        Those that it got, in the order of `ids`.
    """
    connection = connections[alias]
    at_once = connection.vendor in CLAIM and connection.features.can_return_rows_from_bulk_insert
    got = (_claim_at_once if at_once else _claim_in_two_steps)(alias, ids, now, until)
    return [pk for pk in ids if pk in got]


def _claim_at_once(alias: str, ids: Sequence[int], now: datetime, until: datetime) -> set[int]:
    connection = connections[alias]
    sql = CLAIM[connection.vendor].format(
        table=_table(connection), is_due=IS_DUE[connection.vendor], is_free=IS_FREE
    )
    at = _prepared(alias, now)
    keys = list(ids) if connection.vendor == "postgresql" else json.dumps(list(ids))
    with connection.cursor() as cursor:
        cursor.execute(sql, [_prepared(alias, until), keys, at, at])
        return {pk for (pk,) in cursor.fetchall()}


def _claim_in_two_steps(alias: str, ids: Sequence[int], now: datetime, until: datetime) -> set[int]:
    skip_locked = connections[alias].features.has_select_for_update_skip_locked
    rows = SalesforceConnection.objects.using(alias)
    with transaction.atomic(using=alias):
        due = rows.due(now).filter(pk__in=ids).order_by()
        got = set(due.select_for_update(skip_locked=skip_locked).values_list("pk", flat=True))
        rows.filter(pk__in=got).update(claimed_until=until)
    return got


def queue_up(alias: str, keys: Sequence[int], *, claimed_until: datetime) -> None:
    """Of these, what is still claimed until then and due will be due when that ends, or its back-off.

    Else what fails for days would stay the longest overdue, and keep all others from being claimed. A row that
    somebody has locked is left as it is.
    """
    skip_locked = connections[alias].features.has_select_for_update_skip_locked
    rows = SalesforceConnection.objects.using(alias).filter(pk__in=keys, claimed_until=claimed_until)
    later = Case(When(retry_at__gt=claimed_until, then=F("retry_at")), default=Value(claimed_until))
    with transaction.atomic(using=alias):
        overdue = rows.filter(next_refresh_at__lt=claimed_until).order_by("pk")
        free = set(overdue.select_for_update(skip_locked=skip_locked).values_list("pk", flat=True))
        rows.filter(pk__in=free).update(next_refresh_at=later)


def due_since(alias: str, now: datetime) -> datetime | None:
    """Since when the longest overdue of the watched connections has waited."""
    due = SalesforceConnection.objects.using(alias).due(now).values_list("next_refresh_at", flat=True)
    return due.first()


def _prepared(alias: str, moment: datetime) -> Any:
    field = SalesforceConnection._meta.get_field("next_refresh_at")
    return field.get_db_prep_value(moment, connections[alias])


def _table(connection: Any) -> str:
    return str(connection.ops.quote_name(SalesforceConnection._meta.db_table))
