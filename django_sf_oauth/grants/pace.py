"""How long those wait who wait for somebody else's exchange."""

from __future__ import annotations

import random

__all__ = ["Pace"]

FIRST = 1.0  # seconds until the first look, at most: exchanges may have become faster than those seen
LATE = (0.02, 0.1)  # of what is expected: whoever looks too early only keeps the database from storing
SHORTEST, LONGEST = 0.005, 0.15  # seconds between two looks after that
SHARE = 0.06  # of the time already waited, between two looks: an exchange of 200 ms is overslept by some 12
MEMORY = 0.2  # weight of the latest exchange


class Pace:
    """Learns how long it takes from a claim to its store, so that a waiter looks at the row when it is due."""

    def __init__(self, expected: float = 0.2) -> None:
        """`expected`: seconds that it takes, until one has been seen."""
        self.expected = expected

    def learn(self, seconds: float) -> None:
        self.expected += (seconds - self.expected) * MEMORY

    def pause(self, under_way: float) -> float:
        """Seconds to sleep before the next look at an exchange that has been under way for so many."""
        if under_way < self.expected:
            late = self.expected * random.uniform(*LATE)  # noqa: S311  # spreads looks; guards nothing
            return min(self.expected - under_way + late, FIRST)
        steady = min(max(under_way * SHARE, SHORTEST), LONGEST)
        return steady * random.uniform(0.5, 1.5)  # noqa: S311  # likewise
