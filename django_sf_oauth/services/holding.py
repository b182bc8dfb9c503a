"""What is held back right now, and letting go of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from django_sf_oauth.conf import get_app
from django_sf_oauth.models import Hold, SalesforceConnection, fleet_guard, holds

__all__ = ["Held", "held", "release", "waiting"]

FLEET = "fleet:"


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """One hold in force.

    Attributes:
        waiting: see `waiting`.
    """

    scope: str
    reason: str
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
            since=hold.created_at,
            until=hold.until,
            waiting=waiting(hold.scope),
        )


def waiting(scope: str) -> int:
    """How many connections wait because a fleet guard of that scope does not believe that they are dead."""
    if not scope.startswith(FLEET):
        return 0
    return SalesforceConnection.objects.filter(app=scope.removeprefix(FLEET)).exclude(withheld="").count()


def release(scope: str) -> int:
    """Ends a hold. Releasing the fleet guard means that its verdicts are right: it flags those connections.

    Returns:
        How many connections were flagged.

    Raises:
        ConfigurationError: a guard of an app that is not in the settings.
    """
    if scope.startswith(FLEET):
        return fleet_guard.release(get_app(scope.removeprefix(FLEET)))
    holds.lift(scope)
    return 0
