"""What the use of a connection, and a refusal of its token, say about how long its session lives.

Both are written after the caller's commit, and not at all where somebody has the row locked: inside the caller's
transaction they would lock it against a refresh, and the user's call must not wait for such a note.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.exceptions import SynchronousOnlyOperation
from django.db import Error, connections, router, transaction
from django.utils import timezone

from django_sf_oauth.conf import AppSettings, get_apps
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.grants.due import (
    TOUCH_AT_MOST,
    lived_on,
    next_refresh_at,
    pause_of,
    shortened,
    touch_interval,
)

if TYPE_CHECKING:
    from .connection import SalesforceConnection

__all__ = [
    "Refused",
    "believed_lifetime",
    "due_at",
    "interval_of_notes",
    "learn",
    "note_use",
    "refused",
    "schedule",
]

# What is read of the row that is locked.
FACTS = (
    "uuid",
    "app",
    "status",
    "withheld",
    "generation",
    "slides",
    "expires_at",
    "told_lifetime",
    "learned_lifetime",
    "connected_at",
    "last_refreshed_at",
    "last_used_at",
)

Values = Callable[["SalesforceConnection"], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """An access token that Salesforce did not take, as it was known then.

    Attributes:
        life: how long it was believed to live.
        age: how old it was.
        at: when it was refused.
    """

    life: timedelta
    age: timedelta
    at: datetime


def believed_lifetime(row: SalesforceConnection, app: AppSettings) -> timedelta:
    """How long a session of the connection is believed to live without a use."""
    return row.learned_lifetime or row.told_lifetime or app.session_lifetime


def due_at(row: SalesforceConnection, app: AppSettings, *, now: datetime) -> datetime:
    """When the sweep should look at it, by what the instance says of the connection."""
    return next_refresh_at(
        uuid=row.uuid,
        now=now,
        refreshed_at=row.last_refreshed_at or row.connected_at,
        expires_at=row.expires_at or now + believed_lifetime(row, app),
        last_used_at=row.last_used_at,
        pause=pause_of(app.heartbeat, app.expires_if_unused),
    )


def schedule(row: SalesforceConnection) -> None:
    """Has the sweep look at a connection that got its tokens from somebody's hand, as from an import."""
    app = get_apps().get(row.app)
    if app is not None and row.refresh_token is not None and row.next_refresh_at is None:
        row.next_refresh_at = due_at(row, app, now=timezone.now())


def interval_of_notes(row: SalesforceConnection) -> timedelta:
    """How often its use is noted."""
    app = get_apps().get(row.app)
    return touch_interval(believed_lifetime(row, app)) if app and row.slides else TOUCH_AT_MOST


def note_use(connection: SalesforceConnection, now: datetime) -> None:
    """Notes that it is used now, which keeps its session alive and brings an idle connection back among those
    that are refreshed ahead of expiry."""
    _write(connection, partial(_of_use, generation=connection.generation, now=now))


def _of_use(row: SalesforceConnection, *, generation: int, now: datetime) -> Mapping[str, Any]:
    row.last_used_at = now
    app = get_apps().get(row.app)
    # What is withheld or blocked has a due time of its own.
    if app is None or row.status != Status.ACTIVE or row.withheld:
        return {"last_used_at": now}
    if row.slides and row.expires_at is not None and row.generation == generation:
        row.expires_at = lived_on(used_at=now, expires_at=row.expires_at, life=believed_lifetime(row, app))
    return {"last_used_at": now, "expires_at": row.expires_at, "next_refresh_at": due_at(row, app, now=now)}


def refused(connection: SalesforceConnection, generation: int) -> Refused | None:
    """What there may be to learn when the access token of that generation is refused now."""
    app, born = get_apps().get(connection.app), connection.last_refreshed_at
    if app is None or born is None or connection.generation != generation or not connection.slides:
        return None
    now = timezone.now()
    return Refused(life=believed_lifetime(connection, app), age=now - born, at=now)


def learn(connection: SalesforceConnection, refused: Refused) -> None:
    """Believes in a shorter life if a session ended early. Call it when the tokens have been renewed.

    It was not the timeout where the grant is dead, nor where somebody had replaced the token before it was used.
    """
    life = shortened(refused.life, age=refused.age)
    renewed_at = connection.last_refreshed_at
    if life is not None and renewed_at is not None and renewed_at >= refused.at:
        _write(connection, partial(_of_lesson, generation=connection.generation, life=life))


def _of_lesson(row: SalesforceConnection, *, generation: int, life: timedelta) -> Mapping[str, Any]:
    app = get_apps().get(row.app)
    held = row.learned_lifetime
    # Of all that were refused at once, one teaches it.
    if app is None or row.generation != generation or not row.last_refreshed_at or (held and held <= life):
        return {}
    row.learned_lifetime, row.expires_at = life, row.last_refreshed_at + life
    return {
        "learned_lifetime": life,
        "expires_at": row.expires_at,
        "next_refresh_at": due_at(row, app, now=timezone.now()),
    }


def _write(connection: SalesforceConnection, values: Values) -> None:
    """A note that cannot be written is no reason to fail."""
    using = router.db_for_write(type(connection), instance=connection)
    with suppress(Error, SynchronousOnlyOperation):
        # No partial: Django before 6.1 cannot name one in its log when it fails.
        transaction.on_commit(lambda: _update(connection, values, using), using=using, robust=True)


def _update(connection: SalesforceConnection, values: Values, using: str) -> None:
    skip_locked = connections[using].features.has_select_for_update_skip_locked
    rows = type(connection)._base_manager.using(using).filter(pk=connection.pk)
    with transaction.atomic(using=using):
        row = rows.select_for_update(skip_locked=skip_locked).only(*FACTS).first()
        if row is not None and (found := values(row)):
            rows.update(**found)
            connection.take_over(row.generation, found)
