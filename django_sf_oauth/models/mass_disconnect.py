"""Giving many connections up in few statements, so that within seconds none of them can be used here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connections, models, router, transaction
from django.views.decorators.debug import sensitive_variables

from django_sf_oauth.grants.contract import Status

from .connection import SalesforceConnection
from .disconnect import FORGOTTEN, give_up, revocation_of
from .event import ConnectionEvent
from .record import record_all
from .revocation import PendingRevocation
from .update_row import LOCK_WAIT, bound_lock_waits

__all__ = ["give_up_in_time", "give_up_those_free"]

Rows = models.QuerySet[SalesforceConnection]


@sensitive_variables()
def give_up_those_free(ids: Sequence[int], *, actor: Any = None) -> tuple[list[int], int]:
    """The local half of `disconnect()` for many, in one commit; it waits for nobody who has a row locked.

    Args:
        ids: primary keys; a few hundred, since their rows stay locked until the commit.
        actor: who asked for it, for the audit trail.

    Returns:
        The primary keys of those that are left, since they or another connection of their user were locked; and
        how many had no token that Salesforce must be told of.
    """
    using = _alias()
    with _bounded(using):
        rows, locked_elsewhere = _lock(ids, using)
        noted = [note for row in rows if (note := revocation_of(row, reason="disconnected"))]
        PendingRevocation.objects.using(using).bulk_create(noted)
        found = _rows(using).filter(pk__in=[row.pk for row in rows])
        found.update(**FORGOTTEN)
        _hand_on_defaults([row.user_id for row in rows if row.is_default], using)
        tokens = {row.pk: row.refresh_token for row in rows}
        record_all(list(found.order_by("pk")), ConnectionEvent.Kind.DISCONNECTED, actor=actor, tokens=tokens)
    return locked_elsewhere, len(rows) - len(noted)


def give_up_in_time(connection: SalesforceConnection, *, actor: Any = None) -> PendingRevocation | None:
    """`give_up` for one that somebody has locked: it waits, but no longer than two seconds.

    Raises:
        DatabaseError: it is locked still.
    """
    with _bounded(_alias()):
        return give_up(connection, actor=actor)


@contextmanager
def _bounded(using: str) -> Iterator[None]:
    """A transaction that waits for no lock for long, unless it is part of a caller's."""
    connection = connections[using]
    # On MySQL the bound would stay with the session, which has one of 50 seconds by itself.
    bounded = connection.vendor == "postgresql" and not connection.in_atomic_block
    with transaction.atomic(using=using):
        if bounded:
            bound_lock_waits(connection, LOCK_WAIT)
        yield


def _lock(ids: Sequence[int], using: str) -> tuple[list[SalesforceConnection], list[int]]:
    """Those still connected whose user's connections all could be locked, since one of these may be the heir."""
    wanted = _rows(using).filter(pk__in=ids).exclude(status=Status.DISCONNECTED)
    users = dict(wanted.values_list("pk", "user_id"))
    of_users = _rows(using).filter(user__in=set(users.values()))
    everything = set(of_users.values_list("pk", "user_id"))
    features = connections[using].features
    free = list(of_users.select_for_update(skip_locked=features.has_select_for_update_skip_locked).order_by("pk"))
    stuck = {user for _, user in everything - {(row.pk, row.user_id) for row in free}}
    rows = [row for row in free if row.pk in users and row.user_id not in stuck and _is_connected(row)]
    return rows, [pk for pk, user in users.items() if user in stuck]


def _is_connected(row: SalesforceConnection) -> bool:
    return row.status != Status.DISCONNECTED


def _hand_on_defaults(users: Collection[Any], using: str) -> None:
    """Makes another connection of each the default, as `hand_on_default` does for one."""
    rows = _rows(using).filter(user__in=users)
    heirs = _first_of_each(rows.exclude(status=Status.DISCONNECTED).order_by("status", "pk"))
    rows.filter(pk__in=heirs).update(is_default=True)


def _first_of_each(rows: Rows) -> Iterable[int]:
    found: dict[Any, int] = {}
    for pk, user in rows.values_list("pk", "user_id"):
        found.setdefault(user, pk)
    return list(found.values())


def _alias() -> str:
    return router.db_for_write(SalesforceConnection)


def _rows(using: str) -> Rows:
    return SalesforceConnection._base_manager.using(using)
