"""What is odd about a refresh that worked: signs that a grant is in other hands, or that a program runs wild."""

from __future__ import annotations

import math
from datetime import datetime

from django_sf_oauth.protocol.hosts import host_family
from django_sf_oauth.protocol.tokens import TokenAnswer

from .contract import Grant

__all__ = ["refresh_load", "suspicions"]

FADES_IN = 3600.0  # seconds


def refresh_load(before: float, last: datetime | None, now: datetime) -> float:
    """About how many refreshes a connection had within the last hour, this one included.

    One number in the row, written by the store that is made anyway: each refresh adds one to what is left of it,
    and it fades as time passes.
    """
    passed = max(0.0, (now - last).total_seconds()) if last else 0.0
    return before * math.exp(-passed / FADES_IN) + 1.0


def suspicions(before: Grant, answer: TokenAnswer, *, load: float, most: int | None) -> tuple[str, ...]:
    """Stable reasons to look at it: ``host_changed``, ``too_many_refreshes``.

    Args:
        before: as it was when the refresh was asked for.
        load: with this refresh, see `refresh_load`.
        most: the load from which on it is too much; None for never.
    """
    signs = {
        "host_changed": _is_elsewhere(answer, before.instance_url),
        "too_many_refreshes": most is not None and before.refresh_load < most <= load,
    }
    return tuple(reason for reason, is_so in signs.items() if is_so)


def _is_elsewhere(answer: TokenAnswer, instance_url: str) -> bool:
    if answer.instance_url in (None, instance_url):
        return False
    return host_family(answer.instance_url) != host_family(instance_url)
