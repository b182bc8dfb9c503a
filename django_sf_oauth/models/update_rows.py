"""Many claims and stores in one commit, which costs little more than one of them.

It waits for no row: one that somebody has locked, or that has changed, is left out and its caller takes care.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections, transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from .hold import Hold
from .update_row import LOCK_WAIT, RowUpdate, bound_lock_waits, update_free_row, update_row
from .update_statement import update_statement

__all__ = ["update_rows"]


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
    if len(updates) == 1:
        return [update.pk for update in updates if update_free_row(alias, update)]
    sql, parameters = update_statement(updates, unless_held, connection)
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [pk for (pk,) in cursor.fetchall()]


def _in_one_transaction(alias: str, updates: Sequence[RowUpdate], unless_held: Sequence[str]) -> list[Any]:
    with transaction.atomic(using=alias):
        bound_lock_waits(connections[alias], LOCK_WAIT)
        if _is_held(alias, unless_held):
            return []
        free = _lock(alias, updates)
        return [update.pk for update in updates if update.pk in free and update_row(alias, update)]


def _is_held(alias: str, scopes: Sequence[str]) -> bool:
    if not scopes:
        return False
    return Hold.objects.using(alias).filter(scope__in=scopes).in_force(timezone.now()).exists()


def _lock(alias: str, updates: Sequence[RowUpdate]) -> set[Any]:
    """Those rows that nobody else has locked."""
    connection, model = connections[alias], updates[0].model
    keys = [update.pk for update in updates]
    if not connection.features.has_select_for_update_skip_locked:
        return set(keys)  # SQLite locks the whole file; an old MariaDB waits for each row
    rows = model._base_manager.using(alias).filter(pk__in=keys)
    return set(rows.select_for_update(skip_locked=True).order_by().values_list("pk", flat=True))
