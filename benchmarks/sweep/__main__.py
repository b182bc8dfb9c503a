"""How fast a sweep claims, what it holds in memory, how long its statements take, and whether it is fair.

Run with ``python -m benchmarks.sweep``, with a PostgreSQL at ``TEST_POSTGRES_URL``: a million connections there,
and then a hundred thousand in SQLite. ``python -m benchmarks.sweep sqlite`` is the latter alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.turns import verdict

from . import measures, site
from .fairness import delay_by_one_org
from .workers import claiming_side_by_side, work

NUMBERS = {"postgresql": int(os.environ.get("CONNECTIONS", "1000000")), "sqlite": 100_000}
SITES = {"postgresql": site.postgres, "sqlite": site.sqlite}
SHARE = 20  # a twentieth is due
SWEEPS = 10  # that it takes when each has a limit

SELECTION = 1.2
RATE, RATE_OF_FOUR = 30_000, 45_000  # rows a second, on a machine where the bare statement claims 50,000
# Of that statement's rate, at least: where an update spares the indexes that it does not change, all of it.
OF_BARE = {"postgresql": 1.0, "sqlite": 0.6}
MEMORY, STATEMENT, DELAY = 3.0, 50.0, 1


def main(vendor: str) -> int:
    with SITES[vendor]():
        site.fill(NUMBERS[vendor])
        due = NUMBERS[vendor] // SHARE
        print(f"\n{vendor}: {NUMBERS[vendor]:,} connections, {due:,} of them due")
        met = list(measured(due, vendor))
        print(f"\n{measures.plans()}")
    return 0 if all(met) else 1


def measured(due: int, vendor: str) -> Iterator[bool]:
    yield at_most("due selection, as a ratio of the bare query", measures.selection(), SELECTION)
    yield at_most("MiB of memory at the peak of a sweep, by tracemalloc", measures.memory(due), MEMORY)
    yield at_most("ms of the longest statement", measures.longest_statement(due, unfair=False), STATEMENT)
    rate, bare = measures.claiming(due)
    print(f"  {'rows/s that the bare statement claims':54} {bare:10,.0f}")
    yield at_least("claimed by one sweep, as a ratio of these", rate / bare, OF_BARE[vendor])
    at_least("rows/s, if this machine is as fast as that one", rate, RATE)
    if vendor == "postgresql":
        four = claiming_side_by_side(due)
        yield at_least("claimed by four at once, as a ratio of the bare one", four / bare, OF_BARE[vendor])
        at_least("rows/s, if this machine is as fast as that one", four, RATE_OF_FOUR)
    yield at_most("MiB, when one org owns half of what is due", measures.memory(due, unfair=True), MEMORY)
    yield at_most("ms of the longest statement then", measures.longest_statement(due, unfair=True), STATEMENT)
    yield at_most("sweeps that it delays the others by", delay_by_one_org(due // SWEEPS), DELAY)


def at_most(what: str, found: float, goal: float) -> bool:
    return told(what, found, "≤", goal, met=found <= goal)


def at_least(what: str, found: float, goal: float) -> bool:
    return told(what, found, "≥", goal, met=found >= goal)


def told(what: str, found: float, sign: str, goal: float, *, met: bool) -> bool:
    print(f"  {what:54} {found:10,.2f}   goal {sign} {goal:,.1f}  {verdict(met)}", flush=True)
    return met


def both() -> int:
    """Each in a process of its own: Django is set up once."""
    return max(subprocess.call([sys.executable, "-m", "benchmarks.sweep", vendor]) for vendor in SITES)  # noqa: S603


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["work", due]:
            work(int(due))
        case [vendor]:
            sys.exit(main(vendor))
        case _:
            sys.exit(both())
