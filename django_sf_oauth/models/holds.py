"""How the engine sees and sets holds: kill switch, breaker, fleet guard and alarms, shared by all processes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import IntegrityError, router, transaction
from django.utils import timezone

from django_sf_oauth.conf import get_app
from django_sf_oauth.grants.contract import OPEN, Gate, Grant
from django_sf_oauth.protocol.hosts import host_of

from .hold import Hold, HoldQuerySet

__all__ = [
    "CANARY",
    "TRIPPED",
    "alarm_is_new",
    "end_tested",
    "gate",
    "hold_host",
    "is_in_force",
    "is_unchanged",
    "lift",
    "move_end",
    "put",
    "scopes_against",
    "stop",
]

logger = logging.getLogger("django_sf_oauth.holds")

BREAKER_LASTS = timedelta(minutes=15)  # at most, should nobody come to test it
CANARY = timedelta(minutes=1)  # between two requests that test whether an app's grants are dead indeed
BREAKER = "breaker"  # reason of a ``host:`` hold that was set by failures
TRIPPED = "fleet_guard"  # reason of a ``fleet:`` hold that withholds verdicts
INCIDENT = timedelta(hours=1)  # without a refusal, after which the next one is a new incident


def gate(grant: Grant, *, forced: bool) -> Gate:
    """See `GrantStore.gate`."""
    now = timezone.now()
    # Every refresh asks this, and mostly there is nothing.
    found = {
        hold.scope: hold
        for hold in _holds().filter(scope__in=[*scopes_against(grant), f"fleet:{grant.app}"]).in_force(now)
    }
    if not found:
        return OPEN
    if any(scope in found for scope in ("all", f"app:{grant.app}", f"org:{grant.organization_id}")):
        return Gate(closed="stopped")
    breaker = found.get(f"host:{host_of(grant.login_url)}")
    guard = _guard_of(grant, found)
    return _tested(breaker, None if forced else guard, _pause(grant), now) or Gate(
        probes=tuple(hold.scope for hold in (breaker, guard) if hold)
    )


def _tested(breaker: Hold | None, guard: Hold | None, pause: timedelta, now: datetime) -> Gate | None:
    """Takes the right to test these holds; a closed gate if one of them may not be tested now."""
    tests = [("breaker_open", breaker, pause), ("fleet_guard", guard, CANARY)]
    for code, hold, _ in tests:  # all of them first: no test is used up for a request that another hold forbids
        if hold and not hold.may_be_tested(now):
            return _closed(code, hold, now)
    for code, hold, next_in in tests:
        if hold and not _holds().take_probe(hold, now, next_in):
            return _closed(code, hold, now)
    return None


def _guard_of(grant: Grant, found: Mapping[str, Hold]) -> Hold | None:
    """The fleet guard, if it withholds the grant's verdict; one that was released lets everybody ask."""
    guard = found.get(f"fleet:{grant.app}") if grant.withheld else None
    return guard if guard and guard.reason == TRIPPED else None


def _pause(grant: Grant) -> timedelta:
    return timedelta(seconds=get_app(grant.app).breaker.pause)


def scopes_against(grant: Grant) -> tuple[str, ...]:
    """The scopes whose holds concern a token request for it; without a withheld verdict there are no others."""
    return "all", f"app:{grant.app}", f"org:{grant.organization_id}", f"host:{host_of(grant.login_url)}"


def _closed(code: str, hold: Hold, now: datetime) -> Gate:
    opens = hold.probe_at or hold.until
    return Gate(closed=code, retry_after=max(1.0, (opens - now).total_seconds()) if opens else None)


def hold_host(grant: Grant) -> None:
    """Keeps everybody from the grant's token host; one request tests it after each pause."""
    now = timezone.now()
    scope = f"host:{host_of(grant.login_url)}"
    put(scope, reason=BREAKER, until=now + BREAKER_LASTS, probe_at=now + _pause(grant))


def alarm_is_new(app: str, reason: str) -> bool:
    """Whether a refusal of the app itself begins an incident, of which its operator has to be told once."""
    now = timezone.now()
    scope = f"alarm:{app}"
    alarm = _holds().filter(scope=scope).first()
    if alarm is None or alarm.until is None or alarm.until <= now:
        return put(scope, reason=reason, until=now + INCIDENT)
    if alarm.until - now < INCIDENT / 2:  # it goes on
        _holds().filter(pk=alarm.pk).update(until=now + INCIDENT)
    return False


def put(scope: str, *, reason: str, until: datetime, probe_at: datetime | None = None) -> bool:
    """Sets a hold, unless one of that scope is in force. Returns whether it was this call that set it."""
    now = timezone.now()
    values = {"reason": reason, "until": until, "probe_at": probe_at, "told_at": None}
    if _holds().filter(scope=scope, until__lte=now).update(**values, created_at=now):
        return True
    if _holds().filter(scope=scope).exists():
        return False
    try:
        with transaction.atomic(using=_alias()):
            _holds().create(scope=scope, **values)
    except IntegrityError:
        return False  # somebody else has just set it
    return True


def stop(scope: str, *, reason: str, by: str, until: datetime | None = None) -> Hold:
    """An operator's word: from now on nothing in the scope uses Salesforce. What is stopped is never cut short."""
    now = timezone.now()
    with transaction.atomic(using=_alias()):
        held = _holds().select_for_update().filter(scope=scope).in_force(now).first()
        if held is not None and until is not None:
            until = held.until and max(held.until, until)
        hold, _ = _holds().update_or_create(
            scope=scope, defaults={"reason": reason, "set_by": by, "until": until, "created_at": now}
        )
    logger.warning("event=stopped scope=%s by=%r reason=%r until=%s", scope, by, reason, until)
    return hold


def is_in_force(scope: str, *, reason: str) -> bool:
    return _holds().filter(scope=scope, reason=reason).in_force(timezone.now()).exists()


def is_unchanged(hold: Hold) -> bool:
    """Whether it is there as the caller knows it: nobody has put their word in its place."""
    return _as_known(hold).exists()


def move_end(hold: Hold, until: datetime | None) -> None:
    """Lets a hold end at another time, unless somebody has put their word in its place."""
    _as_known(hold).update(until=until)
    hold.until = until


def _as_known(hold: Hold) -> HoldQuerySet:
    """The hold, if nobody has changed it. Who stops its scope anew sets `created_at`, whatever the rest says."""
    return _holds().filter(pk=hold.pk, reason=hold.reason, until=hold.until, created_at=hold.created_at)


def end_tested(scopes: tuple[str, ...]) -> None:
    """Ends what a request was to test, unless an operator has put their word in its place meanwhile."""
    _holds().filter(scope__in=scopes, reason__in=(BREAKER, TRIPPED)).delete()


def lift(scope: str) -> None:
    """Ends a hold because an operator says so."""
    logger.warning("event=hold_lifted scope=%s", scope)
    _holds().filter(scope=scope).delete()


def _alias() -> str:
    return router.db_for_write(Hold)


def _holds() -> HoldQuerySet:
    return Hold.objects.using(_alias())
