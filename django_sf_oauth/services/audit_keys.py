"""Signing the audit trail under the newest key, before an older one is taken off the list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db import connections, router, transaction
from django.db.models import QuerySet

from django_sf_oauth.models import AuditChain, ConnectionEvent
from django_sf_oauth.models.signing import is_newest, mac

from .auditing import in_batches

__all__ = ["resign"]


def resign(*, chunk: int = 1000) -> Counter[str]:
    """Signs events and chains anew whose MAC is of an older key. It can be stopped and repeated at any time.

    What does not hold is left as it is, so that a rotation covers nothing up. The fingerprints stay those of the
    old key: to look for a token in them, that key has to be listed for as long as the search takes.

    Args:
        chunk: rows of one transaction.

    Returns:
        How many events and chains were ``signed``, and how many were ``left``, since their MAC does not hold.
    """
    counts: Counter[str] = Counter()
    for batch in in_batches(ConnectionEvent.objects.exclude(mac=""), chunk):
        counts.update(_resign_events([event for event in batch if not is_newest(event.mac)]))
    chains = AuditChain.objects.order_by("pk")
    rest: QuerySet[AuditChain] = chains
    while uuids := list(rest.values_list("pk", flat=True)[:chunk]):
        rest = chains.filter(pk__gt=uuids[-1])
        counts.update(_resign_chains(uuids))
    return counts


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
