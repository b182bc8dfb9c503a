"""Hostile input by the million: ``python -m benchmarks.fuzz --cases 1000000``.

In each round hypothesis makes some inputs for a claim of `tests.fuzz.claims` and tries them; then their halves are
crossed with each other, which is twenty times as fast. What fails a claim is shown, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

import django
from hypothesis import HealthCheck, given, seed, settings

if TYPE_CHECKING:
    from tests.fuzz.claims import Claim

ROUND = 5_000  # cases
FED = 150  # of them by hypothesis

Inputs = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=1_000_000, help="In all. Default: a million.")
    parser.add_argument("--seed", type=int, default=1, help="Of the first round.")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    logging.disable(logging.CRITICAL)  # a refusal is logged, and most are refused
    from tests.fuzz.claims import CLAIMS, REACHED

    held = [try_claim(claim, -(-options.cases // len(CLAIMS)), options.seed) for claim in CLAIMS]
    print("came to the point:", ", ".join(f"{name} {number:,}" for name, number in sorted(REACHED.items())))
    return 0 if all(held) else 1


def try_claim(claim: Claim, cases: int, first_seed: int) -> bool:
    """Whether it held, in so many cases."""
    began = time.monotonic()
    try:
        for done in range(0, cases, ROUND):
            play(claim, min(ROUND, cases - done), first_seed + done)
    except Exception:
        traceback.print_exc()
        print(f"{claim.name:48} FAILED", flush=True)
        return False
    print(f"{claim.name:48} {cases:9,} cases {time.monotonic() - began:7.1f} s  held", flush=True)
    return True


def play(claim: Claim, number: int, of_seed: int) -> None:
    pool = fed(claim, min(FED, number), of_seed)
    chance = random.Random(of_seed)  # noqa: S311  # repeatable; guards nothing
    for _ in range(number - min(FED, number)):
        inputs = {name: crossed(chance, name, pool) for name in pool[0]}
        try:
            claim.check(**inputs)
        except Exception as error:
            raise AssertionError(f"{claim.name} fails for {inputs!r}") from error


def fed(claim: Claim, number: int, of_seed: int) -> list[Inputs]:
    """Inputs that hypothesis has made and tried."""
    pool: list[Inputs] = []

    def check(**inputs: Any) -> None:
        pool.append(inputs)
        claim.check(**inputs)

    how = settings(max_examples=number, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    seed(of_seed)(how(given(**claim.inputs)(check)))()
    return pool


def crossed(chance: random.Random, name: str, pool: list[Inputs]) -> Any:
    """The beginning of one input and the end of another; of what has no halves, one."""
    one: Any = chance.choice(pool)[name]
    other: Any = chance.choice(pool)[name]
    if type(one) is not type(other) or type(one) not in {str, bytes}:
        return one
    return one[: chance.randint(0, len(one))] + other[chance.randint(0, len(other)) :]


if __name__ == "__main__":
    sys.exit(main())
