"""A process that forks while a refresh is under way in it, as a server that loads the site before it forks."""

from __future__ import annotations

import os
import threading
import warnings
from typing import Any

from django_sf_oauth.grants.breaker import failures
from django_sf_oauth.grants.contract import Outcome
from django_sf_oauth.grants.engine import Engine

SOON = 10.0  # seconds


class Store:
    def inline(self) -> bool:
        return False

    def let_go(self) -> None:
        pass


def main() -> int:
    parent, may_end = os.getpid(), threading.Event()
    counting = threading.Event()

    def exchange(key: int, generation: int, **how: bool) -> Outcome:
        if os.getpid() == parent:
            with failures._lock:  # as any helper thread may hold it at the moment of the fork
                counting.set()
                may_end.wait(SOON)
        failures.answered("login.salesforce.com")
        return Outcome(kind="renewed", reason="child" if os.getpid() != parent else "parent")

    store: Any = Store()
    engine = Engine(store, exchange)
    flight = engine.submit(1, 7)
    counting.wait(SOON)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of what is to be shown here
        child = os.fork()
    if child == 0:
        return int(engine.refresh(1, 7, patience=SOON).reason != "child")
    _, status = os.waitpid(child, 0)
    may_end.set()
    print(flight.result(SOON).reason)  # noqa: T201  # the test reads it
    return os.waitstatus_to_exitcode(status)


raise SystemExit(main())
