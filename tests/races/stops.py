"""The steps of a refresh at which a worker can be made to stop, seen from outside the package.

It says ``at`` and the name of the step, and goes on when it is sent a line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from django.db import transaction

from django_sf_oauth.models.store import RowStore
from tests.races.saying import say

__all__ = ["stop_at"]

Method = Callable[..., Any]
Stop = Callable[[], None]


def stop_at(stops: Mapping[str, int]) -> None:
    """Wraps the methods of the store. `stops`: by step, how often it stops there."""
    for step, times in stops.items():
        name, place = STEPS[step]
        setattr(RowStore, name, place(getattr(RowStore, name), stop(step, times)))


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


STEPS: Mapping[str, tuple[str, Callable[[Method, Stop], Method]]] = {
    "read": ("read", after),
    "gated": ("gate", after),
    "claiming": ("claim", before_the_commit),
    "claimed": ("claim", after),
    "answered": ("store", before),
    "refused": ("fail", before),
    "uncommitted": ("store", before_the_commit),
    "stored": ("store", after),
}
