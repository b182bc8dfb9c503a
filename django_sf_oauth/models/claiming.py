"""What is due is claimed, and goes to the end of the queue if it fails.

A claim is put together by hand, as `update_row` is: fifty thousand rows a second leave no time for the ORM.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from django.db import connections, transaction
from django.db.models import Case, F, Value, When

from .columns import table
from .connection import SalesforceConnection
from .due_rows import IS_DUE, IS_FREE, moment_for

__all__ = ["claim", "due_since", "queue_up"]

CLAIM = {
    # Joined rather than looked up with IN, by which PostgreSQL would find each row twice.
    "postgresql": "UPDATE {table} AS row SET claimed_until = %s FROM"
    " (SELECT id FROM {table} WHERE id = ANY(%s) AND {is_due} AND {is_free} FOR UPDATE SKIP LOCKED) AS free"
    " WHERE row.id = free.id RETURNING row.id",
    "sqlite": "UPDATE {table} SET claimed_until = %s"
    " WHERE id IN (SELECT value FROM json_each(%s)) AND {is_due} AND {is_free} RETURNING id",
}


def claim(alias: str, ids: Sequence[int], *, now: datetime, until: datetime) -> list[int]:
    """Takes those that are still due and free until `until`; of two claims at once, one gets each.

    Returns:
        Those that it got, each once, in the order of `ids`.
    """
    connection = connections[alias]
    at_once = connection.vendor in CLAIM and connection.features.can_return_rows_from_bulk_insert
    got = (_claim_at_once if at_once else _claim_in_two_steps)(alias, ids, now, until)
    return [pk for pk in dict.fromkeys(ids) if pk in got]


def _claim_at_once(alias: str, ids: Sequence[int], now: datetime, until: datetime) -> set[int]:
    connection = connections[alias]
    sql = CLAIM[connection.vendor].format(
        table=table(SalesforceConnection, connection), is_due=IS_DUE[connection.vendor], is_free=IS_FREE
    )
    at = moment_for(connection, now)
    keys = list(ids) if connection.vendor == "postgresql" else json.dumps(list(ids))
    with connection.cursor() as cursor:
        cursor.execute(sql, [moment_for(connection, until), keys, at, at])
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
