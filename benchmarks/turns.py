"""Calls measured side by side, one call of each in turn, so that a busy machine is busy for all of them alike."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["Comparison", "in_turns", "verdict"]

SELDOM = 50

Call = Callable[[], object]
Clock = Callable[[], float]


def in_turns(
    calls: Mapping[str, Call],
    *,
    slow: Mapping[str, Call] | None = None,
    rounds: int,
    clock: Clock = time.perf_counter,
) -> dict[str, float]:
    """Seconds of each: its first decile, since what a busy machine adds would hide the difference.

    Args:
        calls: by name. Each is made once in each round, in an order by lot.
        slow: likewise, but in each fiftieth round only.
        clock: ``time.process_time`` counts CPU alone.
    """
    dice = random.Random(0)  # noqa: S311  # no secret
    everybody = {**calls, **(slow or {})}
    found: dict[str, list[float]] = {
        name: [_seconds(call, clock)] for name, call in everybody.items()
    }  # which warm up
    for number in range(rounds):
        names = list(calls if number % SELDOM else everybody)
        # Whoever follows a call that runs the same code finds it in the caches: nobody may always do so.
        for name in dice.sample(names, len(names)):
            found[name].append(_seconds(everybody[name], clock))
    return {name: statistics.quantiles(seconds, n=10)[0] for name, seconds in found.items()}


def _seconds(call: Call, clock: Clock) -> float:
    started = clock()
    call()
    return clock() - started


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A table of calls, each as a ratio of its peer.

    Attributes:
        goals: by name of a call, the ratio that it should not pass.
        clock: see `in_turns`.
    """

    title: str
    peer: str
    calls: Mapping[str, Call]
    goals: Mapping[str, float]
    slow: Mapping[str, Call] = field(default_factory=dict)
    rounds: int = 3000
    clock: Clock = time.perf_counter

    def show(self) -> bool:
        """Measures, prints, and tells whether all goals are met."""
        found = in_turns(self.calls, slow=self.slow, rounds=self.rounds, clock=self.clock)
        print(f"\n{self.title}")
        met = True
        for name, seconds in found.items():
            ratio = seconds / found[self.peer]
            goal = self.goals.get(name)
            note = "" if goal is None else f"   goal ≤ {goal:.2f}  {verdict(ratio <= goal)}"
            met = met and (goal is None or ratio <= goal)
            print(f"  {name:48} {seconds * 1e6:10.1f} µs   ratio {ratio:6.3f}{note}")
        return met


def verdict(met: bool) -> str:
    return "met" if met else "MISSED"
