"""Whether one org that owns half of what is due delays the others."""

from __future__ import annotations

from .site import BIG_ORG, let_be_due

__all__ = ["delay_by_one_org"]


def delay_by_one_org(limit: int) -> int:
    """By how many sweeps of that limit the connections of other orgs come later than without the big one."""
    from django.db import connection, transaction

    from django_sf_oauth.models import SalesforceConnection

    let_be_due(unfair=True)
    rows = SalesforceConnection.objects
    with transaction.atomic():
        rows.filter(organization_id=BIG_ORG).update(next_refresh_at=None)
        alone = sweeps_until(limit)
        transaction.set_rollback(True)
    big = set(rows.filter(organization_id=BIG_ORG).values_list("pk", flat=True))
    together = {pk: number for pk, number in sweeps_until(limit).items() if pk not in big}
    assert together.keys() == alone.keys()
    connection.close()
    return max(together[pk] - alone[pk] for pk in alone)


def sweeps_until(limit: int) -> dict[int, int]:
    """In which sweep each connection is handed over."""
    from django_sf_oauth.services.sweep import refresh_due

    handed_over: dict[int, int] = {}
    number = 0

    def note(ids: list[int]) -> None:
        handed_over.update(dict.fromkeys(ids, number))

    while refresh_due(note, limit=limit):
        number += 1
    return handed_over
