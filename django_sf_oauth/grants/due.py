"""When a connection should be refreshed although nobody asked, and how long its session is believed to live.

Pure arithmetic, in one place: every store, every note of a use and the simulation in ``benchmarks`` call it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

__all__ = ["lived_on", "next_refresh_at", "pause_of", "regrown", "shortened", "touch_interval"]

SOONEST = timedelta(minutes=5)  # after a refresh: an answer that says it is over already must not bring the next
IN_USE = timedelta(days=1)  # used within a day: its next request should not have to wait
AHEAD = 0.75  # of what is left of an access token's life, at the latest
SPREAD = 0.2  # of that wait, so that connections made together do not fall due together
IDLE_SPREAD = 0.5  # of a heartbeat: a million that were imported in one night are apart from the first one on

IDLE_RULE = timedelta(days=30)  # Salesforce lets refresh tokens die that nobody spent for so long
SAFE_SHARE = 0.5  # of such a limit: a heartbeat that fails can be tried again for as long

SHORTEST, LONGEST = timedelta(minutes=15), timedelta(hours=24)  # session timeouts that Salesforce offers
LEAST_LEFT = 0.5  # of what was believed, after one lesson: it may have been no timeout at all
REGROWTH = 1.05  # per refresh

TOUCH_AT_MOST = timedelta(hours=1)
TOUCH_SHARE = 0.25  # of a session's life


def next_refresh_at(
    *,
    uuid: UUID,
    now: datetime,
    refreshed_at: datetime,
    expires_at: datetime,
    last_used_at: datetime | None,
    pause: timedelta,
) -> datetime:
    """When the sweep should look at a connection, as seen at `now`; never before that.

    One in use is refreshed ahead of expiry; an idle one gets a heartbeat. No use puts the heartbeat off, since it
    is the refresh token that dies when nobody spends it. The jitter is stable: it depends on the uuid alone.

    Args:
        refreshed_at: when the refresh token was spent last.
        expires_at: when the access token is believed to run out.
        pause: the longest wait between two refreshes, see `pause_of`.
    """
    share = (uuid.int & 0xFFFFFFFF) / 0x100000000
    due = refreshed_at + pause * (1 - IDLE_SPREAD * share)
    if last_used_at is not None and now - last_used_at < IN_USE:
        due = min(due, now + (expires_at - now) * AHEAD * (1 - SPREAD * share))
    return max(due, now, refreshed_at + SOONEST)


def pause_of(heartbeat: timedelta, expires_if_unused: timedelta | None) -> timedelta:
    """The longest wait between two refreshes: `heartbeat`, but well inside the limit for unused refresh tokens."""
    limit = IDLE_RULE if expires_if_unused is None else min(expires_if_unused, IDLE_RULE)
    return min(heartbeat, limit * SAFE_SHARE)


def lived_on(*, used_at: datetime, expires_at: datetime, life: timedelta) -> datetime:
    """Until when a session lives at least that was used at `used_at`.

    Salesforce notes a use only once half of the timeout has passed since the last that it noted: so a use is no
    more than half a life younger than its mark. One of a session that is believed to be over proves nothing.
    """
    return max(expires_at, used_at + life / 2) if used_at < expires_at else expires_at


def touch_interval(life: timedelta) -> timedelta:
    """How often a use is worth a note: while it goes on, the next one comes before the refresh is due."""
    return min(TOUCH_AT_MOST, life * TOUCH_SHARE)


def shortened(life: timedelta, *, age: timedelta) -> timedelta | None:
    """What is believed instead of `life` once a session of that age was refused; None if that teaches nothing.

    No timeout ends a session that is younger than the shortest one. What does end it (an admin, say) would teach
    nonsense at a greater age, too: so one lesson halves a life at most, and it grows back by `regrown`.
    """
    if not SHORTEST <= age < life:
        return None
    return max(age, life * LEAST_LEFT, SHORTEST)


def regrown(learned: timedelta | None, *, full: timedelta) -> timedelta | None:
    """What is believed of the next session after a lesson: a little more, until nothing is left of the lesson."""
    grown = None if learned is None else learned * REGROWTH
    return None if grown is None or grown >= full else grown
