from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from django_sf_oauth.models import ConnectionEvent
from tests.commands.conftest import Run

pytestmark = pytest.mark.django_db


def event(days_ago: int) -> ConnectionEvent:
    at = timezone.now() - timedelta(days=days_ago)
    return ConnectionEvent.objects.create(kind="connected", app="default", created_at=at)


def test_old_events_are_deleted(run: Run) -> None:
    kept = event(10)
    event(401)

    ran = run("sf_oauth_prune", "--json")

    assert ran.json == {"attempts": 0, "events": 1}
    assert list(ConnectionEvent.objects.all()) == [kept]


def test_the_days_can_be_chosen_and_tried_without_deleting(run: Run) -> None:
    event(10)

    ran = run("sf_oauth_prune", "--keep-days", "9", "--dry-run")

    assert ran.out == "attempts: 0\nevents: 1\n"
    assert ConnectionEvent.objects.count() == 1
