"""An app that several orgs block within minutes is blocked for all: their admins cannot help, its operator can.

One org that blocks it is believed, and so is a second. When a third does, within the window of `FLEET_GUARD`, what
was noted of all of them is withdrawn and the operator is told. For a day, or until the operator releases it, later
refusals are put down to the app: connections wait and are tried again, as whenever Salesforce refuses the app.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import Error, models, router, transaction
from django.utils import timezone

from django_sf_oauth import signals
from django_sf_oauth.conf import get_app
from django_sf_oauth.grants.contract import Claim, Status, Verdict
from django_sf_oauth.grants.verdict import misconfigured

from .connection import SalesforceConnection
from .event import ConnectionEvent
from .hold import Hold
from .holds import alarm_is_new, is_in_force, put
from .record import notify
from .withdrawing import withdraw

__all__ = ["APP_BLOCKED", "consider_block", "release", "weigh_block"]

logger = logging.getLogger("django_sf_oauth.holds")

APP_BLOCKED = "app_blocked"
ORGS = 3  # that block an app within the window
RELEASED = "released"
LASTS = timedelta(days=1)  # then it is looked at anew: an org that goes on blocking it speaks for itself


def weigh_block(row: SalesforceConnection, claim: Claim, verdict: Verdict) -> Verdict:
    """The verdict on a connection that was blocked, or what is noted instead while its app is, everywhere."""
    if verdict.reason != APP_BLOCKED or row.status == Status.BLOCKED or not _is_blocked_everywhere(row.app):
        return verdict
    return misconfigured(claim, APP_BLOCKED)


def consider_block(row: SalesforceConnection) -> None:
    """Called after such a refusal was noted: many come together, and none of them sees the others before.

    What it fails to do, the next refusal makes up for.
    """
    try:
        blocks = _blocks(row.app)
        if len(blocks.values("organization_id").distinct()[:ORGS]) == ORGS:
            _trip(row)
        if _is_blocked_everywhere(row.app):
            blocked = _rows().filter(status=Status.BLOCKED, reason=APP_BLOCKED)
            keys = list(blocks.values_list("connection_id", flat=True).distinct())
            withdraw(blocked, keys, retry_at=None, next_refresh_at=timezone.now())
    except Error as error:
        logger.warning("event=withdrawal_failed app=%s error=%s", row.app, type(error).__name__)


def _trip(row: SalesforceConnection) -> None:
    with transaction.atomic(using=_alias()):
        is_first = put(_scope(row.app), reason=APP_BLOCKED, until=timezone.now() + LASTS)
        if is_first and alarm_is_new(row.app, APP_BLOCKED):
            notify(signals.app_misconfigured, row, reason=APP_BLOCKED, app=row.app)


def release(scope: str) -> bool:
    """The operator's word that the orgs mean it: for a day, each is believed.

    Returns:
        Whether it is such a scope at all.
    """
    if not (scope.startswith("alarm:") and scope.endswith(f".{APP_BLOCKED}")):
        return False
    marks = Hold.objects.using(_alias()).filter(scope=scope)
    marks.update(reason=RELEASED, until=timezone.now() + LASTS)
    return True


def _is_blocked_everywhere(app: str) -> bool:
    return is_in_force(_scope(app), reason=APP_BLOCKED)


def _scope(app: str) -> str:
    """Apart from the alarm itself, which may have gone off before, for another reason."""
    return f"alarm:{app}.{APP_BLOCKED}"


def _blocks(app: str) -> models.QuerySet[ConnectionEvent]:
    """What was noted within the window that ends now, and still holds."""
    since = timezone.now() - timedelta(seconds=get_app(app).fleet_guard.window)
    events = ConnectionEvent.objects.using(_alias()).order_by()
    return events.filter(
        created_at__gte=since,
        kind=ConnectionEvent.Kind.BLOCKED,
        reason=APP_BLOCKED,
        app=app,
        connection__status=Status.BLOCKED,
        connection__reason=APP_BLOCKED,
    )


def _alias() -> str:
    return router.db_for_write(SalesforceConnection)


def _rows() -> models.QuerySet[SalesforceConnection]:
    return SalesforceConnection._base_manager.using(_alias())
