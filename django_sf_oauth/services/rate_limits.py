"""How often one user may begin to connect, and come back from Salesforce."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import router, transaction
from django.utils import timezone

from django_sf_oauth.conf import AppSettings, get_apps
from django_sf_oauth.exceptions import ConnectFailed
from django_sf_oauth.models import ConnectAttempt, ConnectionEvent

__all__ = ["NAMES", "attempts_kept", "limit_callback", "limit_connect", "one_at_a_time", "parse_rate"]

NAMES = ("connect", "callback")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
Kind = ConnectionEvent.Kind
ENDED = (Kind.CONNECTED, Kind.RECONNECTED, Kind.CONNECT_FAILED)
CALLBACK_KINDS = (*ENDED, Kind.IDENTITY_MISMATCH)

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


@contextmanager
def one_at_a_time(user: Any) -> Iterator[None]:
    """Inside, no other request of this user counts or begins attempts, in whatever process it is made."""
    using = router.db_for_write(ConnectAttempt)
    with transaction.atomic(using=using):
        get_user_model()._base_manager.using(using).select_for_update().filter(pk=user.pk).first()
        yield


def limit_connect(user: Any, app: AppSettings) -> None:
    """Raises ConnectFailed (``rate_limited``) when the user has begun too many attempts lately.

    An attempt that has ended counts on, though its row is gone: a callback would buy another attempt.
    """
    _limit(app.rate_limits.get("connect"), ConnectAttempt.objects.filter(user=user), _events(user, ENDED))


def limit_callback(user: Any, app: AppSettings) -> None:
    """Raises ConnectFailed (``rate_limited``) when too many of the user's attempts have ended lately.

    Callbacks that are under way are not counted; each of them that asks Salesforce needs an attempt of its own.
    """
    _limit(app.rate_limits.get("callback"), _events(user, CALLBACK_KINDS))


def _events(user: Any, kinds: tuple[ConnectionEvent.Kind, ...]) -> Any:
    return ConnectionEvent.objects.filter(user=user, kind__in=kinds)


def _limit(rate: str | None, *counted: Any) -> None:
    if rate is None:
        return
    most, window = parse_rate(rate)
    since = timezone.now() - window
    using = router.db_for_write(ConnectAttempt)  # a replica that lags would let a burst through
    if sum(rows.using(using).filter(created_at__gt=since).count() for rows in counted) >= most:
        raise ConnectFailed(code="rate_limited")
