"""A process that runs ``sf_oauth_revoke``, so that it can be killed.

It reads its task as one line of JSON (see `tests.races.worker`), says ``ready``, and on ``go`` runs the command
and prints what that printed. Its task, besides:

    words: the command's
    stop_after: after how many commits of the local half it says ``at batch`` and waits; 0 is never
"""

from __future__ import annotations

import json
import sys
from io import StringIO

from tests.races.saying import say
from tests.races.worker import set_up

__all__ = ["main"]

BATCH = 5  # connections


def main() -> None:
    task = json.loads(sys.stdin.readline())
    set_up(task)
    slow_down(task["stop_after"])
    say("ready")
    for _ in iter(sys.stdin.readline, ""):
        say(run(task["words"]))


def run(words: list[str]) -> str:
    from django.core.management import CommandError, call_command

    out = StringIO()
    try:
        call_command("sf_oauth_revoke", *words, stdout=out)
    except CommandError as error:
        return f"{out.getvalue().strip()} {error}"
    return out.getvalue().strip()


def slow_down(stop_after: int) -> None:
    from django_sf_oauth.services import revoking

    commits = iter(range(1, sys.maxsize))
    give_up = revoking._give_up_batch

    def stopping(ids: list[int], actor: object) -> tuple[list[int], int]:
        ended = give_up(ids, actor)
        if next(commits) == stop_after:
            say("at batch")
            sys.stdin.readline()
        return ended

    revoking.BATCH = BATCH
    revoking._give_up_batch = stopping  # type: ignore[assignment]  # of this process only


if __name__ == "__main__":
    main()
