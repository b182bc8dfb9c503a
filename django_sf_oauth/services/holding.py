"""What is held back right now, stopping more of it, and letting go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from django_sf_oauth.conf import get_app, get_apps
from django_sf_oauth.models import Hold, SalesforceConnection, app_blocks, fleet_guard, holds
from django_sf_oauth.models.queryset import SalesforceConnectionQuerySet
from django_sf_oauth.protocol.identity import to_18

__all__ = ["Held", "concerned", "held", "release", "scope_of", "stop", "stopped_meanwhile", "waiting"]

FLEET = "fleet:"
REVOCATION = "mass_revocation"  # reason of a hold that ends with what it was set for


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """One hold in force.

    Attributes:
        waiting: see `waiting`.
    """

    scope: str
    reason: str
    set_by: str
    since: datetime
    until: datetime | None
    waiting: int


def held() -> Iterator[Held]:
    """The holds in force, by scope."""
    in_force = Hold.objects.in_force(timezone.now()).exclude(scope__startswith="digest:")
    for hold in in_force.order_by("scope"):
        yield Held(
            scope=hold.scope,
            reason=hold.reason,
            set_by=hold.set_by,
            since=hold.created_at,
            until=hold.until,
            waiting=waiting(hold.scope),
        )


def waiting(scope: str) -> int:
    """How many connections wait because a fleet guard of that scope does not believe that they are dead."""
    if not scope.startswith(FLEET):
        return 0
    return SalesforceConnection.objects.filter(app=scope.removeprefix(FLEET)).exclude(withheld="").count()


def scope_of(text: str) -> str:
    """The scope of the kill switch that an operator names: ``all``, ``app:alias``, or ``org:`` and an id.

    Raises:
        ValueError: it is none, or names an app that is not in the settings. The message is for the operator.
    """
    kind, _, name = text.partition(":")
    if text == "all" or (kind == "app" and name in get_apps()):
        return text
    if kind == "app":
        raise ValueError(f"There is no connected app {name!r}: the settings have {', '.join(get_apps())}.")
    if kind == "org" and name.startswith("00D"):
        return f"org:{to_18(name)}"
    raise ValueError(f"{text!r} is none of: all, app:ALIAS, org:00D… (15 or 18 characters).")


def stop(scope: str, *, reason: str, by: str, until: datetime | None = None) -> None:
    """Stops the use of Salesforce within a `scope_of` the kill switch, in every process within seconds.

    Args:
        reason: for whoever finds it.
        by: who stopped it.
        until: when it ends by itself; None is never. What is stopped already is not cut short.
    """
    holds.stop(scope, reason=reason, by=by, until=until)


@contextmanager
def stopped_meanwhile(scope: str, *, by: str) -> Iterator[None]:
    """Stops a scope, unless an operator has done so already, and lets go of it at the end.

    When the end is not reached, it stays stopped: what was to be ended is not used again because of an error, or
    because somebody pressed Ctrl-C. An empty scope stops nothing.
    """
    theirs = Hold.objects.in_force(timezone.now()).filter(scope=scope).exclude(reason=REVOCATION).first()
    if theirs is not None:
        with _not_ending(theirs):
            yield
    elif scope:
        ours = holds.stop(scope, reason=REVOCATION, by=by)
        yield
        if holds.is_unchanged(ours):  # else it is the stop of a run that began later, or of an operator
            holds.lift(scope)
    else:
        yield


@contextmanager
def _not_ending(hold: Hold) -> Iterator[None]:
    """Keeps a hold that would end by itself meanwhile; also afterwards, when the end is not reached."""
    until = hold.until
    holds.move_end(hold, None)
    yield
    holds.move_end(hold, until)


def concerned(scope: str) -> SalesforceConnectionQuerySet:
    """The connections that a scope of the kill switch stops."""
    kind, _, name = scope.partition(":")
    narrowed = {"app": {"app": name}, "org": {"organization_id": name}}.get(kind, {})
    return SalesforceConnection.objects.connected().filter(**narrowed)


def release(scope: str) -> int:
    """Ends a hold. Releasing the fleet guard means that its verdicts are right: it flags those connections.

    In the same way, orgs that block the app are believed.

    Returns:
        How many connections were flagged.

    Raises:
        ConfigurationError: a guard of an app that is not in the settings.
    """
    if scope.startswith(FLEET):
        return fleet_guard.release(get_app(scope.removeprefix(FLEET)))
    if not app_blocks.release(scope):
        holds.lift(scope)
    return 0
