"""Signing the audit trail under the newest key, before an older one is taken off the list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import connections, router, transaction
from django.db.models import QuerySet

from django_sf_oauth.models import AuditChain, ConnectionEvent
from django_sf_oauth.models.signing import is_newest, mac, newest_prefix

from .auditing import in_batches

__all__ = ["needing_older_keys", "resign"]


def resign(*, chunk: int = 1000) -> Counter[str]:
    """Signs events and chains anew whose MAC is of an older key. It can be stopped and repeated at any time.

    What does not hold is left as it is, so that a rotation covers nothing up. The fingerprints stay those of the
    old key: to look for a token in them, that key has to be listed for as long as the search takes.

    Args:
        chunk: rows of one transaction.

    Returns:
        How many events and chains were ``signed``, and how many were ``left``, since their MAC does not hold.
    """
    counts: Counter[str] = Counter(signed=0, left=0)
    for events in in_batches(_under_older_keys(ConnectionEvent.objects.all()), chunk):
        counts.update(_resign_events(events))
    for chains in in_batches(_under_older_keys(AuditChain.objects.all()), chunk):
        counts.update(_resign_chains([chain.pk for chain in chains]))
    return counts


def needing_older_keys() -> int:
    """How many events and chains only an older key can verify. What does not hold is not worth one."""
    tables = (ConnectionEvent.objects.all(), AuditChain.objects.all())
    rows = (row for table in tables for batch in in_batches(_under_older_keys(table)) for row in batch)
    return sum(row.holds() for row in rows)


def _under_older_keys(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows.exclude(mac="").exclude(mac__startswith=newest_prefix())


def _resign_events(old: Sequence[ConnectionEvent]) -> dict[str, int]:
    held = [event for event in old if event.holds()]
    using = router.db_for_write(ConnectionEvent)
    table = connections[using].ops.quote_name(ConnectionEvent._meta.db_table)
    # Not through the ORM, which refuses to change an event. The former MAC is a fence.
    sql = f"UPDATE {table} SET mac = %s WHERE id = %s AND mac = %s"  # noqa: S608  # no value is in it
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.executemany(sql, [(mac(event.content()), event.pk, event.mac) for event in held])
    return {"signed": len(held), "left": len(old) - len(held)}


def _resign_chains(uuids: Iterable[UUID]) -> dict[str, int]:
    using = router.db_for_write(AuditChain)
    with transaction.atomic(using=using):
        chains = AuditChain.objects.using(using)
        old = [chain for chain in chains.locked(list(uuids)).values() if not is_newest(chain.mac)]
        sound = [chain.resigned() for chain in old if chain.is_sound()]
        chains.store(sound)
    return {"signed": len(sound), "left": len(old) - len(sound)}
