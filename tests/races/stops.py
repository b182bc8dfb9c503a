"""The steps of a refresh at which a worker can be made to stop, seen from outside the package.

It says ``at`` and the name of the step, and goes on when it is sent a line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

from django.db import transaction

from django_sf_oauth.models import readings
from django_sf_oauth.models.store import RowStore, commits
from django_sf_oauth.models.update_row import RowUpdate
from tests.races.saying import say

__all__ = ["stop_at"]

Method = Callable[..., Any]
Stop = Callable[[], None]

# These steps are only gone through by who has not read the row, or could not claim it at once.
CAREFUL = frozenset({"read", "gated", "claiming", "claimed"})


def stop_at(stops: Mapping[str, int]) -> None:
    """Wraps what the steps are made of. `stops`: by step, how often it stops there."""
    for step, times in stops.items():
        pause = stop(step, times)
        for owner, name, place in STEPS[step]:
            setattr(owner, name, place(getattr(owner, name), pause))
    if CAREFUL & stops.keys():
        readings.seen_in = lambda row: None


def stop(step: str, times: int) -> Stop:
    left = [step] * times

    def wait() -> None:
        if left:
            say(f"at {left.pop()}")
            sys.stdin.readline()

    return wait


def before(method: Method, stop: Stop) -> Method:
    @wraps(method)
    def stopping(*args: Any, **kwargs: Any) -> Any:
        stop()
        return method(*args, **kwargs)

    return stopping


def after(method: Method, stop: Stop) -> Method:
    @wraps(method)
    def stopping(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        stop()
        return result

    return stopping


def before_the_commit(method: Method, stop: Stop) -> Method:
    """A statement outside a transaction is its own; to be stopped before its commit it needs one around it."""

    @wraps(method)
    def stopping(*args: Any, **kwargs: Any) -> Any:
        with transaction.atomic():
            result = method(*args, **kwargs)
            stop()
        return result

    return stopping


def before_a_commit_of(column: str) -> Callable[[Method, Stop], Method]:
    """On the thread that commits for all."""

    def place(method: Method, stop: Stop) -> Method:
        stopping = before_the_commit(method, stop)

        @wraps(method)
        def choosing(updates: Sequence[RowUpdate]) -> Any:
            return (stopping if column in updates[0].values else method)(updates)

        return choosing

    return place


Place = tuple[object, str, Callable[[Method, Stop], Method]]

STEPS: Mapping[str, Sequence[Place]] = {
    "read": [(RowStore, "read", after)],
    "looking": [(RowStore, "read", after)],  # by who has read the row before
    "gated": [(RowStore, "gate", after)],
    "claiming": [(RowStore, "claim", before_the_commit)],
    "claimed": [(RowStore, "claim", after)],
    "claiming at once": [(commits, "_write", before_a_commit_of("lease_until"))],
    "claimed at once": [(RowStore, "claim_at_once", after)],
    "answered": [(RowStore, "store", before)],
    "refused": [(RowStore, "fail", before)],
    "uncommitted": [
        (commits, "_write", before_a_commit_of("access_token")),
        (RowStore, "_store_with_care", before_the_commit),
    ],
    "stored": [(RowStore, "store", after)],
}
