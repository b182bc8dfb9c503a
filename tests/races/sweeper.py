"""One process of a site that sweeps.

It reads its task as one line of JSON, as `tests.races.worker` does, says ``ready``, and answers each line ``go``
with the primary keys that it handed over. On the line ``stop`` it stops when it has claimed a batch, and says so.
Its task has besides:

    sweep: arguments of `refresh_due`
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.races.saying import say
from tests.races.worker import set_up


def main() -> None:
    task = json.loads(sys.stdin.readline())
    set_up(task)
    say("ready")
    for command in iter(sys.stdin.readline, ""):
        say(json.dumps(sweep(task["sweep"], stops=command == "stop\n")))


def sweep(arguments: dict[str, Any], *, stops: bool) -> list[int]:
    from django_sf_oauth.services.sweep import refresh_due

    handed_over: list[int] = []

    def hand_over(ids: list[int]) -> None:
        if stops:
            say("at handing over")
            sys.stdin.readline()
        handed_over.extend(ids)

    refresh_due(hand_over, **arguments)
    return handed_over


if __name__ == "__main__":
    main()
