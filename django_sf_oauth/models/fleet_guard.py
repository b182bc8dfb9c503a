"""When many grants of one app die within minutes, it is the app, and no user is told to connect again.

One dead grant is believed at once. When `FLEET_GUARD` trips, the verdicts of its window are withdrawn and later
ones withheld: those connections wait, one canary among them is tried each minute, and the operator is told. It
ends when a canary succeeds, when the operator releases it, or after a day; what is refused then is believed.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models, router, transaction
from django.db.models import F
from django.utils import timezone

from django_sf_oauth import signals
from django_sf_oauth.conf import AppSettings, get_app
from django_sf_oauth.grants.contract import WATCHED, Status, Verdict

from .connection import SalesforceConnection
from .event import ConnectionEvent
from .hold import Hold
from .holds import CANARY, is_in_force, put
from .record import notify, record_all

__all__ = ["LASTS", "consider", "make_canary_due", "release", "weigh"]

LASTS = timedelta(days=1)
TRIPPED, RELEASED = "fleet_guard", "released"
BATCH = 500  # rows of one transaction

Kind = ConnectionEvent.Kind
Rows = models.QuerySet[SalesforceConnection]


def weigh(row: SalesforceConnection, verdict: Verdict) -> Verdict:
    """The verdict on a dead grant, or what is noted instead while the guard withholds such verdicts."""
    if row.status == Status.RECONNECT_REQUIRED or not is_in_force(_scope(row.app), reason=TRIPPED):
        return verdict
    return Verdict(
        kind="unavailable",
        reason=TRIPPED,
        withheld=verdict.reason,
        in_doubt=verdict.in_doubt,
        backs_off=False,
        retry_in=None,
    )


def consider(row: SalesforceConnection) -> None:
    """Called after a connection was flagged: trips the guard when too many of its app were."""
    app = get_app(row.app)
    since = timezone.now() - timedelta(seconds=app.fleet_guard.window)
    deaths = _deaths(app, since).count()
    if deaths < app.fleet_guard.count or not _is_share(app, deaths):
        return
    now = timezone.now()
    with transaction.atomic(using=_alias()):
        tripped = put(_scope(app.alias), reason=TRIPPED, until=now + LASTS, probe_at=now + CANARY)
        if tripped:
            notify(signals.app_misconfigured, row, reason=TRIPPED, app=app.alias)
    if is_in_force(_scope(app.alias), reason=TRIPPED):
        _withdraw(app, since)


def _deaths(app: AppSettings, since: datetime) -> models.QuerySet[ConnectionEvent]:
    events = ConnectionEvent.objects.using(_alias())
    return events.filter(created_at__gte=since, kind=Kind.RECONNECT_REQUIRED, app=app.alias)


def _is_share(app: AppSettings, deaths: int) -> bool:
    """Whether so many are that share of the app's connections, without counting a million of them."""
    most = int(deaths / app.fleet_guard.share) if app.fleet_guard.share else 0
    if not most:
        return True
    living = _rows().filter(app=app.alias, status__in=WATCHED).order_by("pk").values_list("pk")
    return not living[most : most + 1]


def _withdraw(app: AppSettings, since: datetime) -> None:
    flagged = list(_deaths(app, since).values_list("connection_id", flat=True))
    for start in range(0, len(flagged), BATCH):
        with transaction.atomic(using=_alias()):
            rows = _rows().filter(pk__in=flagged[start : start + BATCH], status=Status.RECONNECT_REQUIRED)
            ids = list(rows.select_for_update().order_by("pk").values_list("pk", flat=True))
            _rows().filter(pk__in=ids).update(
                withheld=F("reason"),  # first: MySQL evaluates assignments in order
                reason="",
                status=Status.ACTIVE,
                next_refresh_at=timezone.now() + LASTS,
            )
            record_all(list(_rows().filter(pk__in=ids)), Kind.VERDICT_WITHDRAWN)


def make_canary_due() -> None:
    """Lets the sweep try one connection of each app whose verdicts are withheld, when its time has come."""
    now = timezone.now()
    guards = Hold.objects.using(_alias()).filter(scope__startswith="fleet:", reason=TRIPPED, probe_at__lte=now)
    for guard in guards.in_force(now):
        withheld = _rows().filter(app=guard.scope.partition(":")[2]).exclude(withheld="")
        canary = withheld.order_by("next_refresh_at").values_list("pk", flat=True)[:1]
        _rows().filter(pk__in=list(canary)).update(next_refresh_at=now)


def release(app: AppSettings) -> int:
    """The operator's word that the grants are dead indeed: flags them, and trusts later verdicts for a while.

    It can be repeated after a crash: each connection is flagged once.

    Returns:
        How many connections were flagged.
    """
    quiet = timezone.now() + app.heartbeat  # by then every idle connection has been asked
    Hold.objects.using(_alias()).update_or_create(
        scope=_scope(app.alias), defaults={"reason": RELEASED, "until": quiet, "probe_at": None}
    )
    flagged = last = 0
    while ids := _flag_some(app, after=last):
        flagged += len(ids)
        last = ids[-1]
    return flagged


def _flag_some(app: AppSettings, *, after: int) -> list[int]:
    with transaction.atomic(using=_alias()):
        withheld = _rows().select_for_update().filter(app=app.alias, pk__gt=after).exclude(withheld="")
        ids = list(withheld.order_by("pk").values_list("pk", flat=True)[:BATCH])
        _rows().filter(pk__in=ids).update(
            reason=F("withheld"),  # first: MySQL evaluates assignments in order
            withheld="",
            status=Status.RECONNECT_REQUIRED,
            next_refresh_at=None,
        )
        record_all(list(_rows().filter(pk__in=ids)), Kind.RECONNECT_REQUIRED)
    return ids


def _scope(alias: str) -> str:
    return f"fleet:{alias}"


def _alias() -> str:
    return router.db_for_write(SalesforceConnection)


def _rows() -> Rows:
    return SalesforceConnection._base_manager.using(_alias())
