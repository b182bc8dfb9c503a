"""Trouble with the app itself, at the size of a fleet: no user is bothered, and the operator is told once.

``FLEET`` in the environment says how many connections there are.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.dispatch import Signal
from django.utils import timezone

from django_sf_oauth import signals
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import ConnectionEvent, Hold, SalesforceConnection
from django_sf_oauth.services import schedule
from django_sf_oauth.services.sweep import refresh_due
from django_sf_oauth.testing import FakeSalesforce, journal
from tests.fleet import connect_many

pytestmark = pytest.mark.django_db(transaction=True)

FLEET = int(os.environ.get("FLEET", "300"))
NEW_SECRET = "a-new-secret-of-the-tests"
GUARD = "fleet:default"

Kind = ConnectionEvent.Kind


@pytest.fixture
def every_request_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "KEPT", None)


@pytest.fixture
def no_more_at_once_than_can_write(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor == "sqlite":  # one writer at a time; others wait, and not for ever
        monkeypatch.setattr(schedule, "THREADS", 4)


@pytest.fixture
def fleet(
    every_request_is_counted: None, no_more_at_once_than_can_write: None, fake_salesforce: FakeSalesforce
) -> FakeSalesforce:
    """A Salesforce with a fleet of connections, all of them due."""
    with transaction.atomic():
        connect_many(fake_salesforce, FLEET)
    let_it_be_due()
    return fake_salesforce


def let_it_be_due() -> None:
    """Stands for the time in which back-offs and claims run out."""
    long_due = timezone.now() - timedelta(minutes=1)
    SalesforceConnection.objects.update(retry_at=None, next_refresh_at=long_due, claimed_until=None)


def sweep() -> Counter[str]:
    """One pass of the background refresh over all that is due."""
    counts: Counter[str] = Counter()
    refresh_due(lambda ids: counts.update(schedule.refresh_connections(ids)), limit=2 * FLEET)
    return counts


@contextmanager
def heard(signal: Signal) -> Iterator[list[tuple[int, str]]]:
    """The connections and the reasons that a signal told."""
    told: list[tuple[int, str]] = []

    def hear(connection: SalesforceConnection, reason: str = "", **kwargs: Any) -> None:
        told.append((connection.pk, reason))

    signal.connect(hear)
    try:
        yield told
    finally:
        signal.disconnect(hear)


def states() -> Counter[tuple[str, str]]:
    return Counter(SalesforceConnection.objects.values_list("status", "withheld"))


def events() -> Counter[str]:
    return Counter(ConnectionEvent.objects.values_list("kind", flat=True))


def holds(*words: str) -> Any:
    out = StringIO()
    call_command("sf_oauth_holds", "--json", *words, stdout=out)
    return json.loads(out.getvalue())


def know_the_new_secret(settings: Any) -> None:
    secrets = [NEW_SECRET, settings.SALESFORCE_OAUTH["CLIENT_SECRET"]]
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "CLIENT_SECRET": secrets}


def test_a_rotated_secret_flags_nobody_and_all_recover_when_the_site_knows_it(
    fleet: FakeSalesforce, settings: Any
) -> None:
    fleet.rotate_secret(NEW_SECRET, keep_old=False)
    with heard(signals.app_misconfigured) as alarms, heard(signals.refresh_failed) as failures:
        refused = sweep()

    assert refused == {"misconfigured": FLEET}
    assert states() == {(Status.ACTIVE, ""): FLEET}
    assert events() == {}
    assert [reason for _, reason in alarms] == ["invalid_client"]
    assert Counter(reason for _, reason in failures) == {"invalid_client": FLEET}
    assert fleet.token_requests == FLEET

    know_the_new_secret(settings)
    let_it_be_due()
    with heard(signals.app_misconfigured) as alarms:
        recovered = sweep()

    assert recovered == {"renewed": FLEET}
    assert fleet.token_requests == 2 * FLEET
    assert (
        SalesforceConnection.objects.filter(generation=2, status=Status.ACTIVE, failure_count=0).count() == FLEET
    )
    assert (alarms, events()) == ([], {})


def test_when_all_grants_die_at_once_nobody_is_flagged_until_the_operator_says_so(
    fleet: FakeSalesforce, settings: Any
) -> None:
    know_the_new_secret(settings)
    fleet.rotate_secret(NEW_SECRET, keep_old=False)
    fleet.revoke()
    with heard(signals.app_misconfigured) as alarms:
        fared = sweep()

    assert fared["dead"] + fared["unavailable"] == FLEET
    assert fared["dead"] < FLEET / 2  # those of its window
    assert states() == {(Status.ACTIVE, "revoked"): FLEET}
    believed = fared["dead"]
    assert events() == {Kind.RECONNECT_REQUIRED: believed, Kind.VERDICT_WITHDRAWN: believed, Kind.SUSPICIOUS: 1}
    assert [reason for _, reason in alarms] == ["fleet_guard"]
    assert fleet.token_requests == FLEET

    let_it_be_due()
    Hold.objects.update(probe_at=timezone.now() + timedelta(minutes=10))  # however long it took
    assert sweep() == {"unavailable": FLEET}  # nobody asks Salesforce meanwhile
    Hold.objects.update(probe_at=timezone.now())
    assert sweep() == {"unavailable": 1}  # but for a canary
    assert fleet.token_requests == FLEET + 1

    last = ConnectionEvent.objects.latest("pk").pk
    (guard,) = holds()
    with heard(signals.reconnect_required) as told:
        released = holds("--release", GUARD, "--yes")

    assert (guard["scope"], guard["waiting"]) == (GUARD, FLEET)
    assert released == {"released": 1, "flagged": FLEET}
    assert states() == {(Status.RECONNECT_REQUIRED, ""): FLEET}
    assert len(told) == FLEET
    assert {pk for pk, _ in told} == set(SalesforceConnection.objects.values_list("pk", flat=True))
    since = ConnectionEvent.objects.filter(pk__gt=last, kind=Kind.RECONNECT_REQUIRED)
    assert since.count() == since.values("connection").distinct().count() == FLEET
    assert sweep() == {}
