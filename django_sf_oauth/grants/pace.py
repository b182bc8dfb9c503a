"""How long those wait who wait for somebody else's exchange."""

from __future__ import annotations

import random

__all__ = ["Pace"]

FIRST = 1.0  # seconds until the first look, at most: exchanges may have become faster than those seen
LATE = (0.005, 0.025)  # of what is expected: whoever looks too early only keeps the database from storing
SHORTEST, LONGEST = 0.003, 0.15  # seconds between two looks after that
SHARE = 0.3  # of the time that it is overdue, between two looks: so much of it is overslept at most
MEMORY = 0.2  # weight of the latest exchange
# Of what is expected, what a waiter may learn of one exchange: nobody sees how much too late a look was, and one
# exchange that hung must not keep the waiters of the next hundred asleep.
FASTER, SLOWER = 0.92, 1.3


class Pace:
    """Learns how long it takes from a claim to its store, so that a waiter looks at the row when it is due."""

    def __init__(self, expected: float = 0.2) -> None:
        """`expected`: seconds that it takes, until one has been seen."""
        self.expected = expected

    def learn(self, seconds: float) -> None:
        self.expected = max(SHORTEST, self.expected + (seconds - self.expected) * MEMORY)

    def learn_between(self, earliest: float, latest: float) -> None:
        """Learns from an exchange that ended, to a waiter's knowledge, between so many seconds and so many."""
        longest = min(earliest, self.expected * SLOWER)
        self.learn(min(max(self.expected * FASTER, longest), latest))

    def pause(self, under_way: float) -> float:
        """Seconds to sleep before the next look at an exchange that has been under way for so many."""
        overdue = under_way - self.expected
        if overdue < 0:
            late = self.expected * random.uniform(*LATE)  # noqa: S311  # spreads looks; guards nothing
            return min(late - overdue, FIRST)
        steady = min(max(overdue * SHARE, SHORTEST), LONGEST)
        return steady * random.uniform(0.5, 1.5)  # noqa: S311  # likewise
