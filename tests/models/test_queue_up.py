"""What a sweep has claimed in vain lets the others go first."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.models.claiming import queue_up
from tests.factories import make_connection
from tests.faults.databases import server_only
from tests.models.locking import locked

pytestmark = pytest.mark.django_db

NOW = timezone.now().replace(microsecond=0)
CLAIMED_UNTIL = NOW + timedelta(minutes=5)


def claimed(**values: Any) -> SalesforceConnection:
    return make_connection(
        **{"next_refresh_at": NOW - timedelta(hours=1), "claimed_until": CLAIMED_UNTIL, **values}
    )


def due_after(*rows: SalesforceConnection) -> list[datetime | None]:
    queue_up("default", [row.pk for row in rows], claimed_until=CLAIMED_UNTIL)
    return [SalesforceConnection.objects.get(pk=row.pk).next_refresh_at for row in rows]


def test_it_is_due_again_when_its_claim_ends_or_its_back_off() -> None:
    soon, later = CLAIMED_UNTIL - timedelta(minutes=1), CLAIMED_UNTIL + timedelta(hours=1)

    assert due_after(claimed(), claimed(retry_at=soon), claimed(retry_at=later)) == [
        CLAIMED_UNTIL,
        CLAIMED_UNTIL,
        later,
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"claimed_until": None},
        {"claimed_until": CLAIMED_UNTIL + timedelta(minutes=5)},
        {"next_refresh_at": CLAIMED_UNTIL + timedelta(minutes=1)},
    ],
    ids=["not claimed", "claimed by another sweep", "renewed"],
)
def test_what_has_changed_since_stays_as_it_is(values: dict[str, Any]) -> None:
    row = claimed(**values)

    assert due_after(row) == [values.get("next_refresh_at", NOW - timedelta(hours=1))]


@server_only
@pytest.mark.django_db(transaction=True)
def test_nobody_waits_for_a_row_that_somebody_has_locked() -> None:
    row, other = claimed(), claimed()

    with locked(row):
        assert due_after(row, other) == [row.next_refresh_at, CLAIMED_UNTIL]
