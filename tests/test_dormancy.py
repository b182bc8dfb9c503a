"""What nobody uses is given up, if the site says so."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from django.conf import settings
from django.test import TestCase, override_settings
from django.utils import timezone

from django_sf_oauth.models import ConnectionEvent, PendingRevocation, SalesforceConnection
from django_sf_oauth.models.disconnect import give_up
from django_sf_oauth.services import dormancy
from django_sf_oauth.signals import disconnected
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection
from tests.fleet import connect_one

pytestmark = pytest.mark.django_db

Status = SalesforceConnection.Status

YEAR = timedelta(days=365)
limited = override_settings(SALESFORCE_OAUTH={**settings.SALESFORCE_OAUTH, "DORMANT_AFTER": YEAR})


def ago(days: int) -> Any:
    return timezone.now() - timedelta(days=days)


def test_by_default_nothing_is_given_up() -> None:
    make_connection(last_used_at=ago(5000), connected_at=ago(5001))

    assert dormancy.expire_dormant() == Counter()


@limited
def test_what_nobody_used_for_so_long_is_revoked(fake_salesforce: FakeSalesforce) -> None:
    unused = connect_one(fake_salesforce, last_used_at=ago(366))
    never = connect_one(fake_salesforce, connected_at=ago(366))
    kept = [
        connect_one(fake_salesforce, last_used_at=ago(364), connected_at=ago(800)),
        connect_one(fake_salesforce, connected_at=ago(364)),
        connect_one(fake_salesforce, last_used_at=ago(366), app="unknown"),
    ]

    counts = dormancy.expire_dormant()

    assert counts == Counter(revoked=2)
    assert set(SalesforceConnection.objects.connected()) == set(kept)
    assert set(SalesforceConnection.objects.filter(status=Status.DISCONNECTED)) == {unused, never}
    assert [exchange.path for exchange in fake_salesforce.requests] == ["/services/oauth2/revoke"] * 2


@limited
def test_the_audit_and_the_signal_say_why(fake_salesforce: FakeSalesforce) -> None:
    connect_one(fake_salesforce, last_used_at=ago(366))
    told: list[Any] = []

    def hear(reason: str, **kwargs: Any) -> None:
        told.append(reason)

    disconnected.connect(hear)
    try:
        with TestCase.captureOnCommitCallbacks(execute=True):
            dormancy.expire_dormant()
    finally:
        disconnected.disconnect(hear)

    assert told == ["dormant"]
    events = ConnectionEvent.objects.order_by("pk").values_list("kind", "reason")
    assert list(events) == [("disconnected", "dormant"), ("revoked", "dormant")]


@limited
def test_a_use_that_overtakes_the_sweep_keeps_the_connection() -> None:
    row = make_connection(last_used_at=ago(366))
    SalesforceConnection.objects.update(last_used_at=timezone.now())

    assert give_up(row, reason="dormant", unless_used_since=ago(365)) is None
    assert SalesforceConnection.objects.get().status == Status.ACTIVE


@limited
def test_a_run_has_a_limit_and_a_budget(fake_salesforce: FakeSalesforce) -> None:
    for _ in range(6):
        connect_one(fake_salesforce, last_used_at=ago(366))
    clock = count()

    counts = [
        dormancy.expire_dormant(limit=2),
        dormancy.expire_dormant(budget=2, monotonic=lambda: float(next(clock))),
        dormancy.expire_dormant(),
    ]

    assert counts == [Counter(revoked=2), Counter(revoked=1), Counter(revoked=3)]


@limited
def test_a_dry_run_counts_and_gives_nothing_up(fake_salesforce: FakeSalesforce) -> None:
    row = connect_one(fake_salesforce, last_used_at=ago(366))

    assert dormancy.expire_dormant(dry_run=True) == Counter(dormant=1)
    row.refresh_from_db()
    assert row.status == Status.ACTIVE


@limited
def test_what_salesforce_does_not_hear_is_tried_again(fake_salesforce: FakeSalesforce) -> None:
    connect_one(fake_salesforce, last_used_at=ago(366))
    fake_salesforce.fail_next(where="revoke", status=503)

    assert dormancy.expire_dormant() == Counter(pending=1)
    assert PendingRevocation.objects.get().reason == "dormant"


@limited
def test_without_a_grant_there_is_nothing_to_revoke() -> None:
    row = make_connection(last_used_at=ago(366), access_token=None, refresh_token=None)

    assert dormancy.expire_dormant() == Counter(gone=1)
    row.refresh_from_db()
    assert row.status == Status.DISCONNECTED


@limited
def test_one_that_fails_or_vanishes_stops_no_other(
    fake_salesforce: FakeSalesforce, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad, vanishing, good = [connect_one(fake_salesforce, last_used_at=ago(366)) for _ in range(3)]

    def fails(connection: SalesforceConnection, **kwargs: Any) -> Any:
        if connection == bad:
            SalesforceConnection.objects.filter(pk=vanishing.pk).update(status=Status.DISCONNECTED)
            raise RuntimeError("5Aep861secret")
        return give_up(connection, **kwargs)

    monkeypatch.setattr(dormancy, "give_up", fails)
    with caplog.at_level(logging.ERROR):
        counts = dormancy.expire_dormant()

    assert counts == Counter(failed=1, gone=1, revoked=1)
    assert str(bad.uuid) in caplog.text
    assert "5Aep861" not in caplog.text
    assert SalesforceConnection.objects.get(pk=good.pk).status == Status.DISCONNECTED
