"""Whether the audit trail is what was written: nothing changed, nothing missing, nothing moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import router, transaction
from django.db.models import Count, Exists, F, Max, Min, OuterRef, QuerySet

from django_sf_oauth.models import AuditChain, ConnectionEvent
from django_sf_oauth.models.signing import knows

from .auditing import in_batches

__all__ = ["Wrong", "verify"]

CHAINS = 1000  # in memory at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class Wrong:
    """Something that is not as it was written.

    Attributes:
        what: ``changed`` (the event was), ``unsigned`` (it has no MAC), ``unknown_key`` (signed with a key that is
            no longer listed), ``relinked`` (it refers to another connection than it was signed for), ``missing``
            or ``extra`` (a number in the history of a connection), or ``chain_changed`` (the record of how many
            there are was changed, put back or deleted).
        event: primary key.
        sequence: the number of the event in its connection's history, or a range of numbers.
    """

    what: str
    event: int | None = None
    connection: UUID | None = None
    sequence: str = ""


def verify(events: QuerySet[ConnectionEvent], counts: Counter[str], *, whole: bool) -> Iterator[Wrong]:
    """Tells what is wrong with these events, and with the whole history of each connection that they are of.

    Args:
        events: selected ones.
        counts: is filled with how many events ``hold``, and how many things are ``wrong``.
        whole: these are all events there are, so that a connection without one is looked at too.
    """
    for found in (_wrong_events(events, counts), _wrong_chains(events, whole=whole)):
        for wrong in found:
            counts["wrong"] += 1
            yield wrong


def _wrong_events(events: QuerySet[ConnectionEvent], counts: Counter[str]) -> Iterator[Wrong]:
    for batch in in_batches(events.annotate(linked=F("connection__uuid"))):
        for event in batch:
            if what := _what_is_wrong(event):
                number = "" if event.sequence is None else str(event.sequence)
                yield Wrong(what=what, event=event.pk, connection=event.connection_uuid, sequence=number)
            else:
                counts["hold"] += 1


def _what_is_wrong(event: Any) -> str:
    if not event.mac:
        return "unsigned"
    if not event.holds():
        return "changed" if knows(event.mac) else "unknown_key"
    return "relinked" if event.linked not in (None, event.connection_uuid) else ""


def _wrong_chains(events: QuerySet[ConnectionEvent], *, whole: bool) -> Iterator[Wrong]:
    chains = AuditChain.objects.all()
    numbered = ConnectionEvent.objects.filter(sequence__isnull=False)
    if not whole:
        uuids = events.order_by().values("connection_uuid")
        chains, numbered = chains.filter(pk__in=uuids), numbered.filter(connection_uuid__in=uuids)
    for batch in in_batches(chains, CHAINS):
        found = _numbers(ConnectionEvent.objects.all(), [chain.pk for chain in batch])
        for chain in batch:
            if not _fits(chain, found.get(chain.pk)):
                yield from _looked_at_again(chain.pk)
    yield from _without_chain(numbered)


def _numbers(events: QuerySet[ConnectionEvent], uuids: list[UUID]) -> dict[Any, tuple[int, int, int]]:
    """Lowest and highest number of each, and how many numbers there are."""
    numbered = events.filter(connection_uuid__in=uuids, sequence__isnull=False)
    rows = numbered.order_by().values("connection_uuid")
    found = rows.annotate(lowest=Min("sequence"), highest=Max("sequence"), number=Count("sequence", distinct=True))
    return {row["connection_uuid"]: (row["lowest"], row["highest"], row["number"]) for row in found}


def _fits(chain: AuditChain, numbers: tuple[int, int, int] | None) -> bool:
    """Whether there are just the events that the chain says."""
    length = chain.last - chain.first + 1
    return chain.holds() and (numbers == (chain.first, chain.last, length) if numbers else length == 0)


def _looked_at_again(uuid: UUID) -> Iterator[Wrong]:
    """With the chain locked: an event that was written between two readings is nothing wrong."""
    using = router.db_for_write(AuditChain)
    with transaction.atomic(using=using):
        chain = AuditChain.objects.using(using).select_for_update().get(pk=uuid)
        numbered = ConnectionEvent.objects.using(using).filter(connection_uuid=uuid, sequence__isnull=False)
        there = [number for number in numbered.order_by("sequence").values_list("sequence", flat=True) if number]
    if not chain.holds():
        yield Wrong(what="chain_changed", connection=uuid)
        chain.first, chain.last = min(there, default=1), max(there, default=0)  # it cannot be trusted
    for what, sequence in _gaps(chain, there):
        yield Wrong(what=what, connection=uuid, sequence=sequence)


def _gaps(chain: AuditChain, there: Sequence[int]) -> Iterator[tuple[str, str]]:
    """What is missing between the bounds of a chain, in ranges, and what is beyond them."""
    expected = chain.first
    for number in [*(number for number in there if chain.first <= number <= chain.last), chain.last + 1]:
        if number > expected:
            yield "missing", str(expected) if number == expected + 1 else f"{expected}-{number - 1}"
        expected = number + 1
    for number in there:
        if not chain.first <= number <= chain.last:
            yield "extra", str(number)


def _without_chain(numbered: QuerySet[ConnectionEvent]) -> Iterator[Wrong]:
    chains = AuditChain.objects.filter(pk=OuterRef("connection_uuid"))
    lost = numbered.filter(~Exists(chains)).order_by("connection_uuid").values_list("connection_uuid", flat=True)
    for uuid in lost.distinct().iterator():
        yield Wrong(what="chain_changed", connection=uuid)
