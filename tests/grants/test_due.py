from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from django_sf_oauth.grants.due import AHEAD, SPREAD, next_refresh_at

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LIFE = timedelta(hours=2)
HEARTBEAT = timedelta(days=7)


def wait(last_used_at: datetime | None, uuid: int = 0) -> timedelta:
    due = next_refresh_at(
        uuid=UUID(int=uuid), now=NOW, expires_at=NOW + LIFE, last_used_at=last_used_at, heartbeat=HEARTBEAT
    )
    return due - NOW


def test_a_connection_in_use_is_refreshed_ahead_of_expiry() -> None:
    assert wait(NOW - timedelta(hours=23)) == LIFE * AHEAD


@pytest.mark.parametrize("last_used_at", [None, NOW - timedelta(days=1)], ids=["never", "yesterday"])
def test_an_idle_connection_gets_a_heartbeat(last_used_at: datetime | None) -> None:
    assert wait(last_used_at) == HEARTBEAT


def test_connections_made_together_do_not_fall_due_together() -> None:
    waits = {wait(None, uuid) for uuid in range(1000)}

    assert len(waits) == 1000
    assert min(waits) > HEARTBEAT * (1 - SPREAD)
    assert max(waits) == HEARTBEAT


def test_the_spread_is_stable() -> None:
    assert wait(None, 123_456) == wait(None, 123_456)


def test_a_token_that_lives_no_longer_is_due_at_once() -> None:
    due = next_refresh_at(uuid=UUID(int=7), now=NOW, expires_at=NOW, last_used_at=NOW, heartbeat=HEARTBEAT)

    assert due == NOW
