"""Telling users that a connection needs them: one mail per incident, after the fleet guard's window.

Level-triggered, as everything in the background: it looks at the notices as they are now. Each is claimed before
it is sent, so that of two workers one sends it. At least once: one whose worker dies before the mail was handed
over is sent by another, and one that dies between the hand-over and its note leaves a second mail rather than
none.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

from django.db import router
from django.db.models import Q
from django.utils import timezone

from django_sf_oauth.conf import get_app
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import Hold, Notice, SalesforceConnection
from django_sf_oauth.models.active_user import is_active
from django_sf_oauth.models.holds import TRIPPED
from django_sf_oauth.models.notice import NoticeQuerySet

from .mails import address_of, reconnect_mail
from .opting_out import is_told, tellable_apps

__all__ = ["due_notices", "send_notices"]

logger = logging.getLogger("django_sf_oauth.notices")

BATCH = 100
BUDGET = 45.0  # seconds; the next run comes each minute
IN_A_ROW = 5  # failures after which it is the mail server rather than an address: the next run tries again


def due_notices() -> NoticeQuerySet:
    """Those whose time has come, of the apps whose users can be told."""
    return _due_at(timezone.now())


def _due_at(now: datetime) -> NoticeQuerySet:
    return _notices().due(now, tellable_apps())


def send_notices(*, budget: float = BUDGET, monotonic: Callable[[], float] = time.monotonic) -> Counter[str]:
    """Sends what is due. One mail that fails stops no other.

    Args:
        budget: seconds after which no further one is sent.
        monotonic: a clock in seconds.

    Returns:
        How many ended how: ``sent``, ``over`` (the incident has ended), ``unwanted`` (no address, an inactive
        user, or one who wants no mails), ``held`` (by a fleet guard or a kill switch: looked at again in five
        minutes), ``failed`` (tried again later) and ``given_up`` (after 16 tries).
    """
    deadline = monotonic() + budget
    counts: Counter[str] = Counter()
    failures = 0
    for notice in _claimed():
        ending = _tell(notice)
        counts[ending] += 1
        failures = failures + 1 if ending in {"failed", "given_up"} else 0
        if failures >= IN_A_ROW or monotonic() >= deadline:
            break
    return counts


def _claimed() -> Iterator[Notice]:
    """The notices that are due now, each claimed when it is asked for and read again after that.

    One that fails is left to the next run, however short its pause is. Where nothing of a batch could be claimed,
    others send it.
    """
    now, got = timezone.now(), True
    while got and (batch := list(_due_at(now)[:BATCH])):
        got = False
        for notice in batch:
            if _notices().claim(notice, timezone.now()):
                got = True
                yield notice


def _tell(notice: Notice) -> str:
    row = _notices().select_related("connection__user").filter(pk=notice.pk).first()
    if row is None or row.connection.status != Status.RECONNECT_REQUIRED:
        _notices().filter(pk=notice.pk).delete()
        return "over"
    if _is_held(row.connection):
        row.wait()
        return "held"
    if not _is_wanted(row.connection):
        row.end()
        return "unwanted"
    return _send(row)


def _is_held(connection: SalesforceConnection) -> bool:
    """Whether a fleet guard may still withdraw its verdict, or an operator has stopped what a reconnect is for."""
    app, org = connection.app, connection.organization_id
    stopped = Q(scope__in=["all", f"app:{app}", f"org:{org}"]) | Q(scope=f"fleet:{app}", reason=TRIPPED)
    return Hold.objects.using(router.db_for_write(Hold)).filter(stopped).in_force(timezone.now()).exists()


def _is_wanted(connection: SalesforceConnection) -> bool:
    user = connection.user
    return is_active(user) and bool(address_of(user)) and is_told(user)


def _send(notice: Notice) -> str:
    try:
        reconnect_mail(notice.connection, get_app(notice.connection.app)).send()
    except Exception as error:
        return _failed(notice, error)
    notice.end(told_at=timezone.now())
    return "sent"


def _failed(notice: Notice, error: Exception) -> str:
    ending = "failed" if notice.postpone() else "given_up"
    # The type alone: a mail server's answer quotes the address.
    name = type(error).__name__
    logger.warning("event=notice_%s connection=%s error=%s", ending, notice.connection.uuid, name)
    return ending


def _notices() -> NoticeQuerySet:
    return Notice.objects.using(router.db_for_write(Notice))
