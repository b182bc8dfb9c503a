"""Telling those who run the site, once per incident, that Salesforce refuses a connected app itself."""

from __future__ import annotations

import logging
from collections import Counter

from django.db import router
from django.db.models import Q
from django.utils import timezone

from django_sf_oauth.conf import AppSettings, get_apps
from django_sf_oauth.models import Hold
from django_sf_oauth.models.hold import HoldQuerySet
from django_sf_oauth.models.holds import TRIPPED

from .holding import waiting
from .mails import operator_mail

__all__ = ["due_alerts", "send_alerts"]

logger = logging.getLogger("django_sf_oauth.notices")


def due_alerts() -> list[tuple[Hold, AppSettings]]:
    """The incidents of `app_misconfigured` that go on and that `ALERTS` has not been told of."""
    incidents = Q(scope__startswith="alarm:") | Q(scope__startswith="fleet:", reason=TRIPPED)
    apps = get_apps()
    rows = _holds().filter(incidents, told_at=None).in_force(timezone.now()).order_by("created_at")
    found = [(row, apps.get(row.scope.partition(":")[2])) for row in rows]
    return [(row, app) for row, app in found if app and app.alerts]


def send_alerts() -> Counter[str]:
    """Sends them: of several runs at once, one sends each. One whose worker dies meanwhile is not sent again.

    Returns:
        How many were ``sent``, and how many ``failed`` and are tried again in the next run.
    """
    return Counter(_send(hold, app) for hold, app in due_alerts() if _claim(hold))


def _claim(hold: Hold) -> bool:
    """Whether the caller is the one that tells of this incident; the next one has another beginning."""
    untold = _holds().filter(pk=hold.pk, created_at=hold.created_at, told_at=None)
    return bool(untold.update(told_at=timezone.now()))


def _send(hold: Hold, app: AppSettings) -> str:
    context = {
        "app": app.alias,
        "reason": hold.reason,
        "is_guarded": hold.reason == TRIPPED,
        "since": hold.created_at,
        "waiting": waiting(hold.scope),
    }
    try:
        operator_mail("alert", context, app.alerts).send()
    except Exception as error:
        _holds().filter(pk=hold.pk, created_at=hold.created_at).update(told_at=None)
        logger.warning("event=alert_failed app=%s error=%s", app.alias, type(error).__name__)
        return "failed"
    return "sent"


def _holds() -> HoldQuerySet:
    return Hold.objects.using(router.db_for_write(Hold))
