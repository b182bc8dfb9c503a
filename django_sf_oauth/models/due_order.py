"""In which order a sweep looks at what is due."""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from .due_rows import Due, DueRows, Place, as_due, is_free, later, time_between

__all__ = ["PAGE", "DueOrder"]

PAGE = 1000  # rows of one reading
STRETCHES = 8  # of about a page each, that are read in an order by lot
ROUNDS = 4  # of so many stretches; then it is measured anew how far apart the rows are
FEW = 20  # rows at its ends tell whether another sweep has begun a stretch, and come to its end

Stretch = tuple[Place, Place]


class DueOrder:
    """The watched connections whose time has come and that nobody has claimed, longest overdue first.

    They may be claimed as it goes on. What has been passed is not read again.
    """

    def __init__(self, alias: str, now: datetime) -> None:
        self._rows = DueRows(alias, now)
        self._is_crowded = False

    def give_way(self) -> None:
        """Somebody else takes the same rows: go on in an order of one's own, within the next few thousand.

        Sweeps at one moment would else try for the same rows all the time, and each time one of them gets any.
        """
        self._is_crowded = True

    def __iter__(self) -> Iterator[Due]:
        place = self._rows.start
        while True:
            rows = self._rows.after(place, PAGE)
            yield from map(as_due, filter(is_free, rows))
            if len(rows) < PAGE:
                return
            place = as_due(rows[-1]).place
            # By its later half, since a few that have long been overdue say nothing of what comes.
            step = 2 * time_between(as_due(rows[PAGE // 2 - 1]).place, place)
            if self._is_crowded and step > timedelta(0):
                self._is_crowded = False
                place = yield from self._mixed(place, step)

    def _mixed(self, place: Place, step: timedelta) -> Generator[Due, None, Place]:
        """Goes on by lot until nobody else is ahead. The places are told by the clock: no row is read for them."""
        left: list[Stretch] = []
        for _ in range(ROUNDS):
            ahead = [place, *(later(place, by=step * number) for number in range(1, STRETCHES + 1))]
            place, before, left = ahead[-1], left, []
            yield from self._by_lot(list(pairwise(ahead)), left)
            yield from self._unfinished(before)
            if not left:
                break
        yield from self._unfinished(left)
        return place

    def _by_lot(self, stretches: list[Stretch], left: list[Stretch]) -> Iterator[Due]:
        """What others have begun is `left` to them for a while, since they may be at work there."""
        for start, end in random.sample(stretches, len(stretches)):
            first = self._rows.after(start, FEW, before=end)
            if any(map(is_free, first)):
                yield from self._all_of(start, end)
            elif first:
                left.append((start, end))

    def _unfinished(self, stretches: list[Stretch]) -> Iterator[Due]:
        """What was begun and not ended. Where both ends are taken, what is free between is the next sweep's."""
        for start, end in stretches:
            if any(map(is_free, self._rows.after(start, FEW, before=end, backwards=True))):
                yield from self._all_of(start, end)

    def _all_of(self, place: Place, end: Place) -> Iterator[Due]:
        while len(rows := self._rows.after(place, PAGE, before=end)) == PAGE:
            yield from map(as_due, filter(is_free, rows))
            place = as_due(rows[-1]).place
        yield from map(as_due, filter(is_free, rows))
