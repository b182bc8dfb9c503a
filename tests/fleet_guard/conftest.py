"""A fleet of connections, the guard's limits, and the site's time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_sf_oauth import signals
from django_sf_oauth.exceptions import SalesforceOAuthError
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import ConnectionEvent, SalesforceConnection
from django_sf_oauth.services import schedule
from django_sf_oauth.services import sweep as sweeping
from django_sf_oauth.services.sweep import refresh_due
from django_sf_oauth.testing import FakeSalesforce
from tests.fleet import connect_many

__all__ = [
    "COUNT",
    "FLAGGED",
    "MINUTE",
    "WELL",
    "WITHHELD",
    "Clock",
    "Kind",
    "events",
    "fare",
    "honour_again",
    "set_limits",
    "states",
    "sweep",
]

Kind = ConnectionEvent.Kind
COUNT = 3
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def limits(settings: Any) -> None:
    set_limits(settings, count=COUNT)


def set_limits(settings: Any, **limits: Any) -> None:
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "FLEET_GUARD": limits}


class Clock:
    """The site's time, which goes on, and which a test moves forward."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)
        self.real = timezone.now

    def now(self) -> Any:
        return self.real() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timezone, "now", clock.now)
    monkeypatch.setattr(sweeping, "database_now", lambda alias: clock.now())
    # The field has kept the function that was there when it was made.
    monkeypatch.setattr(ConnectionEvent._meta.get_field("created_at"), "_get_default", clock.now)
    return clock


@pytest.fixture
def alarms() -> Iterator[list[str]]:
    """Reasons of `app_misconfigured`."""
    heard: list[str] = []

    def hear(reason: str, **kwargs: Any) -> None:
        heard.append(reason)

    signals.app_misconfigured.connect(hear)
    yield heard
    signals.app_misconfigured.disconnect(hear)


def honour_again(fake: FakeSalesforce) -> None:
    for approval in fake.world.approvals:
        approval.revoked = False


@pytest.fixture
def fleet(fake_salesforce: FakeSalesforce) -> list[SalesforceConnection]:
    """Connections whose grants are all dead, as far as Salesforce says."""
    rows = connect_many(fake_salesforce, COUNT + 3)
    fake_salesforce.revoke()
    return rows


@pytest.fixture
def tripped(fleet: list[SalesforceConnection]) -> list[SalesforceConnection]:
    """The connections of a fleet whose guard has tripped: the first were flagged, the others not asked for yet."""
    for row in fleet[:COUNT]:
        fare(row)
    return fleet


def fare(row: SalesforceConnection, *, forced: bool = False) -> str:
    """The code that a call ends with whose access token has run out."""
    row = SalesforceConnection.objects.get(pk=row.pk)
    try:
        row.renew(row.generation, forced=forced)
    except SalesforceOAuthError as error:
        return error.code
    return "ok"


def states() -> Counter[tuple[str, str, str]]:
    return Counter(SalesforceConnection.objects.values_list("status", "reason", "withheld"))


def events() -> Counter[str]:
    return Counter(ConnectionEvent.objects.values_list("kind", flat=True))


WITHHELD = (Status.ACTIVE, "", "revoked")
FLAGGED = (Status.RECONNECT_REQUIRED, "revoked", "")
WELL = (Status.ACTIVE, "", "")


def sweep() -> Counter[str]:
    counts: Counter[str] = Counter()
    refresh_due(lambda ids: counts.update(schedule.refresh_connections(ids)))
    return counts
