"""When many grants of one app die within minutes, it is the app, and no user is told to connect again.

One dead grant is believed at once. When `FLEET_GUARD` trips, the verdicts of its window are withdrawn and later
ones withheld: those connections wait, one canary among them is tried each minute, and the operator is told. It
ends when a canary succeeds, when the operator releases it, or after a day; what is refused then is believed.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from django.db import Error, models, router, transaction
from django.db.models import F
from django.utils import timezone

from django_sf_oauth import signals
from django_sf_oauth.conf import AppSettings, get_app, get_apps
from django_sf_oauth.grants.contract import WATCHED, Status, Verdict

from .connection import SalesforceConnection
from .event import ConnectionEvent
from .hold import Hold
from .holds import CANARY, TRIPPED, is_in_force, put
from .record import notify, record, record_all
from .withdrawing import BATCH, withdraw

__all__ = ["LASTS", "RELEASED", "consider", "make_canary_due", "release", "weigh"]

logger = logging.getLogger("django_sf_oauth.holds")

LASTS = timedelta(days=1)
RELEASED = "released"
TRIES = 3

Kind = ConnectionEvent.Kind
Rows = models.QuerySet[SalesforceConnection]


def weigh(row: SalesforceConnection, verdict: Verdict) -> Verdict:
    """The verdict on a dead grant, or what is noted instead while the guard withholds such verdicts."""
    # What was withheld was found out first: of a lost rotation nothing is left to be seen later.
    verdict = replace(verdict, reason=row.withheld or verdict.reason)
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
    """Called after a connection was flagged: trips the guard when too many of its app were.

    What it fails to do, the next sweep makes up for.
    """
    app = get_app(row.app)
    # Many do this at once when a guard trips, and a database that ends a deadlock expects its victim to try again.
    for _ in range(TRIES):
        try:
            _consider(row, app)
        except Error as error:
            logger.warning("event=guard_failed app=%s error=%s", app.alias, type(error).__name__)
        else:
            return


def _consider(row: SalesforceConnection, app: AppSettings) -> None:
    now = timezone.now()
    since = now - _window(app)
    if _may_trip(app, now) and _are_too_many(app, since):
        _trip(row, app, now)
    # Also those that were flagged while another process tripped it.
    if is_in_force(_scope(app.alias), reason=TRIPPED):
        _withdraw(app, since)


def _may_trip(app: AppSettings, now: datetime) -> bool:
    """Whether it has not tripped yet, nor lately: what is refused after it has ended is believed."""
    guards = Hold.objects.using(_alias()).filter(scope=_scope(app.alias))
    return not guards.filter(until__gt=now - LASTS).exists()


def _trip(row: SalesforceConnection, app: AppSettings, now: datetime) -> None:
    with transaction.atomic(using=_alias()):
        if put(_scope(app.alias), reason=TRIPPED, until=now + LASTS, probe_at=now + CANARY):
            notify(signals.app_misconfigured, row, reason=TRIPPED, app=app.alias)
            record(row, Kind.SUSPICIOUS, reason=TRIPPED)  # the guard sees to it that this is once per incident


def _window(app: AppSettings) -> timedelta:
    return timedelta(seconds=app.fleet_guard.window)


def _are_too_many(app: AppSettings, since: datetime) -> bool:
    # Each connection once, and none whose verdict was withdrawn before. A rotation that was lost, as by a worker
    # that was killed, speaks of this site and not of the app.
    found = _deaths(app, since).exclude(reason="rotation_lost")
    flagged = found.filter(connection__status=Status.RECONNECT_REQUIRED)
    deaths = flagged.values("connection_id").order_by().distinct().count()
    return deaths >= app.fleet_guard.count and _is_share(app, deaths)


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
    dead = _rows().filter(status=Status.RECONNECT_REQUIRED)
    withdraw(dead, flagged, withheld=F("reason"), next_refresh_at=timezone.now() + LASTS)


def make_canary_due() -> None:
    """Lets the sweep try one connection of each app whose verdicts are withheld, when its time has come."""
    now = timezone.now()
    guards = Hold.objects.using(_alias()).filter(scope__startswith="fleet:", reason=TRIPPED, probe_at__lte=now)
    for guard in guards.in_force(now):
        app = get_apps().get(guard.scope.partition(":")[2])
        if app is None:
            continue  # it is no longer in the settings
        _withdraw(app, guard.created_at - _window(app))  # what a process left undone that was killed
        canary = _askable(_withheld(app.alias), now).order_by("next_refresh_at").values_list("pk", flat=True)[:1]
        _rows().filter(pk__in=list(canary)).update(next_refresh_at=now, claimed_until=None)


def _askable(rows: Rows, now: datetime) -> Rows:
    """Those that a refresh ahead of need does not leave alone for reasons of their own."""
    return rows.exclude(retry_at__gt=now).exclude(in_doubt_since__isnull=False, expires_at__gt=now)


def release(app: AppSettings) -> int:
    """The operator's word that the grants are dead indeed: flags them, and trusts later verdicts for a while.

    It can be repeated after a crash: each connection is flagged once.

    Returns:
        How many connections were flagged.
    """
    now = timezone.now()
    quiet = now + app.heartbeat  # by then every idle connection has been asked
    Hold.objects.using(_alias()).update_or_create(
        scope=_scope(app.alias),
        defaults={"reason": RELEASED, "until": quiet, "probe_at": None, "created_at": now},
    )
    flagged = last = 0
    while ids := _flag_some(app, after=last):
        flagged += len(ids)
        last = ids[-1]
    return flagged


def _flag_some(app: AppSettings, *, after: int) -> list[int]:
    with transaction.atomic(using=_alias()):
        withheld = _withheld(app.alias).select_for_update().filter(pk__gt=after)
        ids = list(withheld.order_by("pk").values_list("pk", flat=True)[:BATCH])
        _rows().filter(pk__in=ids).update(
            reason=F("withheld"),  # first: MySQL evaluates assignments in order
            withheld="",
            status=Status.RECONNECT_REQUIRED,
            next_refresh_at=None,
        )
        record_all(list(_rows().filter(pk__in=ids)), Kind.RECONNECT_REQUIRED)
    return ids


def _withheld(alias: str) -> Rows:
    return _rows().filter(app=alias).exclude(withheld="")


def _scope(alias: str) -> str:
    return f"fleet:{alias}"


def _alias() -> str:
    return router.db_for_write(SalesforceConnection)


def _rows() -> Rows:
    return SalesforceConnection._base_manager.using(_alias())
