"""Whose turn it is: an org of which very much is due does not keep the others waiting."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator

from django_sf_oauth.models.claiming import Due, Group

__all__ = ["in_turns"]

SHARE = 100  # of a sweep's limit, one org gets a hundredth before the others have had their turn


def in_turns(due: Iterable[Due], *, limit: int) -> Iterator[Due]:
    """The same connections, in an order in which no org is served at the cost of the others.

    Of each org come the longest overdue first, up to a hundredth of the limit; what it has beyond that comes when
    the others have had theirs, one org after the other in turn.

    Args:
        due: longest overdue first.
        limit: how many will be taken at most. So many are kept back, not all that are due.
    """
    share = max(1, limit // SHARE)
    taken: Counter[str] = Counter()
    waiting: dict[Group, array[int]] = {}
    for one in due:
        if taken[one.group.organization_id] < share:
            taken[one.group.organization_id] += 1
            yield one
        elif one.group not in waiting:
            waiting[one.group] = array("q", [one.pk])
        elif len(waiting[one.group]) < limit // len(waiting):
            waiting[one.group].append(one.pk)
    yield from _round_robin(waiting)


def _round_robin(waiting: dict[Group, array[int]]) -> Iterator[Due]:
    turn = 0
    while waiting := {group: pks for group, pks in waiting.items() if turn < len(pks)}:
        yield from (Due(pks[turn], group) for group, pks in waiting.items())
        turn += 1
