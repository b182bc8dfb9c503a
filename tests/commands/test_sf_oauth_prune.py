from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.test import override_settings
from django.utils import timezone

from django_sf_oauth.models import ConnectionEvent
from django_sf_oauth.testing import FakeSalesforce
from tests.commands.conftest import Run
from tests.fleet import connect_one

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


@override_settings(SALESFORCE_OAUTH={**settings.SALESFORCE_OAUTH, "DORMANT_AFTER": timedelta(days=365)})
def test_what_nobody_uses_is_given_up_or_counted(run: Run, fake_salesforce: FakeSalesforce) -> None:
    row = connect_one(fake_salesforce, last_used_at=timezone.now() - timedelta(days=366))

    tried, done = run("sf_oauth_prune", "--dry-run", "--json"), run("sf_oauth_prune", "--json")

    assert tried.json == {"attempts": 0, "events": 0, "dormant": 1}
    assert done.json == {"attempts": 0, "events": 0, "revoked": 1}
    row.refresh_from_db()
    assert row.status == row.Status.DISCONNECTED
