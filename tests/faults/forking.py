"""A process that forks while a refresh is in flight in it, as gunicorn (``--preload``) and Celery (prefork) do.

It reads a task as `tests.races.worker` does, with another connection under ``other``. The child says how it fares
with the other connection and with its parent's, the parent how its refresh ended and how it fares afterwards.
"""

from __future__ import annotations

import json
import os
import sys
import warnings

from tests.races.saying import say
from tests.races.worker import call, load, set_up


def main() -> None:
    task = json.loads(sys.stdin.readline())
    set_up(task)
    (mine,), (other,) = load(task["connection"], 1), load(task["other"], 1)
    say("ready")
    sys.stdin.readline()
    from django_sf_oauth.models.store import engine

    flight = engine.submit(mine.pk, mine.generation)
    sys.stdin.readline()  # it has arrived at Salesforce
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of what is to be shown here
        child = os.fork()
    if child == 0:
        say(f"child, other: {call(other)}")
        say(f"child, same: {call(mine)}")
        return
    say(f"parent, in flight: {flight.result().kind}")
    os.waitpid(child, 0)
    say(f"parent, later: {call(mine)}")


main()
