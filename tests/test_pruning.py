"""What is thrown away, and what stays."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from django_sf_oauth.models import ConnectAttempt, ConnectionEvent
from django_sf_oauth.services import pruning
from tests.factories import make_user

pytestmark = pytest.mark.django_db


def event(days_ago: int) -> ConnectionEvent:
    at = timezone.now() - timedelta(days=days_ago)
    return ConnectionEvent.objects.create(kind="connected", app="default", created_at=at)


def attempt(minutes_ago: int) -> ConnectAttempt:
    return ConnectAttempt.objects.create(
        state_digest=f"state{minutes_ago}",
        browser_digest="browser",
        verifier="verifier",
        user=make_user(),
        app="default",
        created_at=timezone.now() - timedelta(minutes=minutes_ago),
    )


def test_events_are_kept_four_hundred_days() -> None:
    kept = event(399)
    event(401)

    counts = pruning.prune()

    assert counts == {"events": 1, "attempts": 0}
    assert list(ConnectionEvent.objects.all()) == [kept]


def test_events_can_be_kept_for_another_time() -> None:
    event(2)

    assert pruning.prune(keep_events=timedelta(days=1))["events"] == 1


def test_attempts_that_can_still_be_finished_stay() -> None:
    open_one = attempt(14)
    attempt(16)

    counts = pruning.prune()

    assert counts == {"events": 0, "attempts": 1}
    assert list(ConnectAttempt.objects.all()) == [open_one]


def test_a_dry_run_counts_and_deletes_nothing() -> None:
    event(401)
    attempt(16)

    counts = pruning.prune(dry_run=True)

    assert counts == {"events": 1, "attempts": 1}
    assert (ConnectionEvent.objects.count(), ConnectAttempt.objects.count()) == (1, 1)


def test_many_rows_go_in_several_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "CHUNK", 2)
    for _ in range(5):
        event(401)

    assert pruning.prune()["events"] == 5
