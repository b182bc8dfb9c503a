"""When a connection should be refreshed although nobody asked: pure arithmetic, in one place."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

__all__ = ["next_refresh_at"]

IN_USE = timedelta(days=1)  # used within a day: its next request should not have to wait
AHEAD = 0.75  # of an access token's life, at the latest
SPREAD = 0.2  # of the wait, so that connections made together do not fall due together


def next_refresh_at(
    *,
    uuid: UUID,
    now: datetime,
    expires_at: datetime,
    last_used_at: datetime | None,
    heartbeat: timedelta,
) -> datetime:
    """When the sweep should look at a connection that was stored at `now`.

    One in use is refreshed ahead of expiry; an idle one gets a heartbeat, since refresh tokens that nobody uses
    for 30 days die under Salesforce's idle rule. The jitter is stable: it depends on the connection alone.
    """
    in_use = last_used_at is not None and now - last_used_at < IN_USE
    wait = (expires_at - now) * AHEAD if in_use else heartbeat
    return now + wait * (1 - SPREAD * (uuid.int % 1000) / 1000)
