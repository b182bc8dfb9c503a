"""Whose turn it is: an org of which very much is due does not keep the others waiting."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator

from django_sf_oauth.models.due_rows import Due

__all__ = ["in_turns"]

Way = tuple[str, str, str]  # org, app, login URL
SHARE = 100  # of a sweep's limit, one org gets a hundredth before the others have had their turn


def in_turns(due: Iterable[Due], *, limit: int) -> Iterator[Due]:
    """The same connections, in an order in which no org is served at the cost of the others.

    Of each org come the longest overdue first, up to a hundredth of the limit; what it has beyond that comes when
    the others have had theirs, one org after the other in turn.

    Args:
        due: longest overdue first.
        limit: how many will be taken at most. About so many are kept back, and not all that are due.
    """
    share = max(1, limit // SHARE)
    taken: Counter[str] = Counter()
    waiting = _Waiting(limit)
    for one in due:
        if taken[one.organization_id] < share:
            taken[one.organization_id] += 1
            yield one
        else:
            waiting.add(one)
    yield from waiting.in_turns()


class _Waiting:
    """Those that have to wait until the others have had their turn."""

    def __init__(self, limit: int) -> None:
        self._limit, self._kept = limit, 0
        self._keys: dict[Way, array[int]] = {}

    def add(self, one: Due) -> None:
        """Keeps it; but when there are enough, only if its org has less than an equal share of the room."""
        keys = self._keys.setdefault(one[1:4], array("q"))
        if self._kept < self._limit or len(keys) < self._limit // len(self._keys):
            keys.append(one.pk)
            self._kept += 1

    def in_turns(self) -> Iterator[Due]:
        turn, left = 0, self._keys
        while left := {way: keys for way, keys in left.items() if turn < len(keys)}:
            yield from (Due(keys[turn], *way) for way, keys in left.items())
            turn += 1
