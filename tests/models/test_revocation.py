from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from django_sf_oauth.models import PendingRevocation
from django_sf_oauth.models.revocation import FIRST_PAUSE, LONGEST_PAUSE
from tests.factories import make_connection

pytestmark = pytest.mark.django_db


@pytest.fixture
def pending() -> PendingRevocation:
    row = make_connection()
    return PendingRevocation.objects.create(
        token="5Aep861.planted",
        app=row.app,
        login_url=row.login_url,
        connection_uuid=row.uuid,
        organization_id=row.organization_id,
    )


@pytest.mark.parametrize(("attempts", "most"), [(0, FIRST_PAUSE * 2), (50, LONGEST_PAUSE)])
def test_the_next_try_waits_minutes_at_first_and_at_most_a_day(
    pending: PendingRevocation, attempts: int, most: int
) -> None:
    pending.attempts = attempts
    before = timezone.now()

    pending.postpone()

    stored = PendingRevocation.objects.get()
    assert stored.attempts == attempts + 1
    assert before <= stored.next_attempt_at <= timezone.now() + timedelta(seconds=most)


def test_one_that_another_worker_has_ended_does_not_come_back(pending: PendingRevocation) -> None:
    PendingRevocation.objects.all().delete()

    pending.postpone()

    assert not PendingRevocation.objects.exists()
