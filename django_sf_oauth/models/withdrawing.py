"""Taking back what was noted of connections whose own trouble it turned out not to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections, models, transaction

from django_sf_oauth.grants.contract import Status

from .connection import SalesforceConnection
from .event import ConnectionEvent
from .record import record_all

__all__ = ["BATCH", "withdraw"]

BATCH = 500  # rows of one transaction

Rows = models.QuerySet[SalesforceConnection]


def withdraw(rows: Rows, keys: Sequence[int], **values: Any) -> None:
    """Makes those connections active again.

    Args:
        rows: which are still as they were noted.
        keys: primary keys of those that may be.
        values: what else to set; `F` gives what was there.
    """
    # Whoever has a row locked withdraws it just now, and many do so at the moment when it turns out.
    skip_locked = connections[rows.db].features.has_select_for_update_skip_locked
    for start in range(0, len(keys), BATCH):
        with transaction.atomic(using=rows.db):
            noted = rows.filter(pk__in=keys[start : start + BATCH])
            locked = noted.select_for_update(skip_locked=skip_locked).order_by("pk")
            ids = list(locked.values_list("pk", flat=True))
            some = SalesforceConnection._base_manager.using(rows.db).filter(pk__in=ids)
            some.update(**values, reason="", status=Status.ACTIVE)  # last: MySQL evaluates assignments in order
            record_all(list(some), ConnectionEvent.Kind.VERDICT_WITHDRAWN)
