"""An app that several orgs block within minutes is blocked for all: their admins cannot help, its operator can.

One org that blocks it is believed, and so is a second. When a third does, within the window of `FLEET_GUARD`, what
was noted of the others is withdrawn and the operator is told. As long as that goes on, all later refusals are put
down to the app; connections wait and are tried again as after any other refusal of the app itself.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import Error, models, router
from django.utils import timezone

from django_sf_oauth.conf import get_app
from django_sf_oauth.grants.contract import Claim, Status, Verdict
from django_sf_oauth.grants.verdict import misconfigured

from .connection import SalesforceConnection
from .event import ConnectionEvent
from .holds import alarm_is_on
from .withdrawing import withdraw

__all__ = ["APP_BLOCKED", "weigh", "withdraw_blocks"]

logger = logging.getLogger("django_sf_oauth.holds")

APP_BLOCKED = "app_blocked"
ORGS = 3  # that block an app within the window


def weigh(row: SalesforceConnection, claim: Claim, verdict: Verdict) -> Verdict:
    """The verdict on a connection that was blocked, or what is noted instead while its app is, everywhere."""
    if verdict.reason != APP_BLOCKED or row.status == Status.BLOCKED or not _is_blocked_everywhere(row):
        return verdict
    return misconfigured(claim, APP_BLOCKED)


def withdraw_blocks(row: SalesforceConnection) -> None:
    """Takes back what was noted of the other orgs. What it fails to do, the next refusal makes up for."""
    blocked = _rows().filter(status=Status.BLOCKED, reason=APP_BLOCKED)
    try:
        keys = list(_blocks(row).values_list("connection_id", flat=True).distinct())
        withdraw(blocked, keys, retry_at=None, next_refresh_at=timezone.now())
    except Error as error:
        logger.warning("event=withdrawal_failed app=%s error=%s", row.app, type(error).__name__)


def _is_blocked_everywhere(row: SalesforceConnection) -> bool:
    if alarm_is_on(row.app, APP_BLOCKED):
        return True
    others = _blocks(row).exclude(organization_id=row.organization_id).values("organization_id").distinct()
    return len(others[: ORGS - 1]) == ORGS - 1


def _blocks(row: SalesforceConnection) -> models.QuerySet[ConnectionEvent]:
    """What was noted within the window that ends now."""
    since = timezone.now() - timedelta(seconds=get_app(row.app).fleet_guard.window)
    events = ConnectionEvent.objects.using(_alias()).order_by()
    return events.filter(created_at__gte=since, kind=ConnectionEvent.Kind.BLOCKED, reason=APP_BLOCKED, app=row.app)


def _alias() -> str:
    return router.db_for_write(SalesforceConnection)


def _rows() -> models.QuerySet[SalesforceConnection]:
    return SalesforceConnection._base_manager.using(_alias())
