"""How often one user may begin to connect, and come back from Salesforce."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from django.utils import timezone

from django_sf_oauth.conf import AppSettings, get_apps
from django_sf_oauth.exceptions import ConnectFailed
from django_sf_oauth.models import ConnectAttempt, ConnectionEvent

__all__ = ["NAMES", "attempts_kept", "limit_callback", "limit_connect", "parse_rate"]

NAMES = ("connect", "callback")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
Kind = ConnectionEvent.Kind
CALLBACK_KINDS = (Kind.CONNECTED, Kind.RECONNECTED, Kind.CONNECT_FAILED, Kind.IDENTITY_MISMATCH)

_RATE = re.compile(r"\s*(?P<count>[0-9]+)\s*/\s*(?P<unit>[smhd])\s*", re.ASCII)


def parse_rate(rate: str) -> tuple[int, timedelta]:
    """Reads ``"20/m"``: twenty in a minute; ``s``, ``m``, ``h`` and ``d`` are known.

    Raises:
        ValueError: it is not of that form.
    """
    match = _RATE.fullmatch(rate)
    if match is None:
        raise ValueError("A rate is a number, a slash, and one of s, m, h, d.")
    return int(match["count"]), timedelta(seconds=SECONDS[match["unit"]])


def attempts_kept() -> timedelta:
    """How long an attempt has to be kept to be counted: as long as the widest window of any connected app."""
    rates = [app.rate_limits.get("connect") for app in get_apps().values()]
    return max((parse_rate(rate)[1] for rate in rates if rate is not None), default=timedelta())


def limit_connect(user: Any, app: AppSettings) -> None:
    """Raises ConnectFailed (``rate_limited``) when the user has begun too many attempts lately."""
    _limit(app.rate_limits.get("connect"), ConnectAttempt.objects.filter(user=user))


def limit_callback(user: Any, app: AppSettings) -> None:
    """Raises ConnectFailed (``rate_limited``) when too many of the user's attempts have ended lately."""
    _limit(app.rate_limits.get("callback"), ConnectionEvent.objects.filter(user=user, kind__in=CALLBACK_KINDS))


def _limit(rate: str | None, rows: Any) -> None:
    if rate is None:
        return
    most, window = parse_rate(rate)
    if rows.filter(created_at__gt=timezone.now() - window).count() >= most:
        raise ConnectFailed(code="rate_limited")
