"""How an event enters the audit trail: with a number in the history of its connection, and signed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.apps import apps

from .audit_chain import AuditChain

if TYPE_CHECKING:
    from .event import ConnectionEvent

__all__ = ["admit"]

CHUNK = 500  # chains that are locked and stored by one statement


def admit(events: Sequence[ConnectionEvent], using: str) -> None:
    """Numbers and signs events that are about to be inserted by the caller's transaction.

    The chain of a connection is locked until that transaction ends, so that each number is given once. An event
    without a connection has no number: a sequence that all failed attempts share would make them wait for each
    other.
    """
    for start in range(0, len(events), CHUNK):
        _admit(events[start : start + CHUNK], using)


def _admit(events: Sequence[ConnectionEvent], using: str) -> None:
    _lock_connections({event.connection_id for event in events if event.connection_id}, using)
    all_chains = AuditChain.objects.using(using)
    chains = dict(all_chains.locked({event.connection_uuid for event in events if event.connection_uuid}))
    for event in events:
        if event.connection_uuid is not None:
            chain = chains[event.connection_uuid].extended()
            event.sequence = chain.last
        event.signed()
    all_chains.store(chains.values())


def _lock_connections(keys: set[int], using: str) -> None:
    """Locks the rows that the events will refer to before the chains: the other way round, two could deadlock."""
    rows = apps.get_model("django_sf_oauth", "SalesforceConnection")._base_manager.using(using)
    list(rows.select_for_update().filter(pk__in=keys).order_by("pk").values_list("pk"))
