"""What those who run the site should know, in one mail a day."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, F, OuterRef, Subquery
from django.utils import timezone

from django_sf_oauth.conf import get_apps
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import ConnectionEvent, SalesforceConnection, holds
from django_sf_oauth.models.fleet_guard import RELEASED

from .holding import Held, held
from .mails import operator_mail, operators

__all__ = ["Digest", "Waiting", "due_digests", "send_digests"]

logger = logging.getLogger("django_sf_oauth.notices")

EVERY = timedelta(hours=20)  # a daily run that comes a little early still sends it; two runs at once do not
OLDEST = 20
WAIT = (Status.RECONNECT_REQUIRED, Status.BLOCKED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A connection that waits for somebody.

    Attributes:
        since: when it was flagged or blocked; None if that event is pruned.
    """

    uuid: UUID
    organization_id: str
    organization_name: str
    status: str
    reason: str
    since: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Digest:
    """How the connections of some apps are.

    Attributes:
        withheld: how many wait because a fleet guard does not believe that they are dead.
        holds: what is held back right now.
        oldest: those that wait for the longest time.
    """

    apps: tuple[str, ...]
    reconnect_required: int
    blocked: int
    withheld: int
    holds: tuple[Held, ...]
    oldest: tuple[Waiting, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.reconnect_required or self.blocked or self.withheld or self.holds)


def due_digests() -> Iterator[tuple[tuple[str, ...], Digest]]:
    """The recipients as in `DIGEST`, and what there is to tell them; apps with the same recipients share one."""
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for app in get_apps().values():
        if operators(app.digest):
            groups[app.digest].append(app.alias)
    for recipients, apps in groups.items():
        digest = _digest(apps)
        if not digest.is_empty:
            yield recipients, digest


def send_digests() -> Counter[str]:
    """Sends each digest that has something to say, at most once in 20 hours, however many run this at once.

    Returns:
        How many were ``sent``, and how many ``failed`` and are tried again in the next run.
    """
    return Counter(_send(recipients, digest) for recipients, digest in due_digests() if _claim(digest))


def _claim(digest: Digest) -> bool:
    return holds.put(_scope(digest), reason="sent", until=timezone.now() + EVERY)


def _scope(digest: Digest) -> str:
    return f"digest:{digest.apps[0]}"


def _send(recipients: Sequence[str], digest: Digest) -> str:
    try:
        operator_mail("digest", {"digest": digest}, recipients).send()
    except Exception as error:
        holds.lift(_scope(digest))
        logger.warning("event=digest_failed app=%s error=%s", digest.apps[0], type(error).__name__)
        return "failed"
    return "sent"


def _digest(apps: Sequence[str]) -> Digest:
    rows = SalesforceConnection.objects.filter(app__in=apps)
    by_status = dict(rows.filter(status__in=WAIT).values_list("status").annotate(Count("pk")).order_by())
    return Digest(
        apps=tuple(apps),
        reconnect_required=by_status.get(Status.RECONNECT_REQUIRED, 0),
        blocked=by_status.get(Status.BLOCKED, 0),
        withheld=rows.exclude(withheld="").count(),
        holds=tuple(hold for hold in held() if _concerns(hold, apps)),
        oldest=tuple(_oldest(apps)),
    )


def _concerns(hold: Held, apps: Sequence[str]) -> bool:
    kind, _, name = hold.scope.partition(":")
    if hold.reason == RELEASED:
        return False  # it holds nothing back any more
    return kind not in {"app", "fleet", "alarm"} or name in apps


def _oldest(apps: Sequence[str]) -> Iterator[Waiting]:
    events = ConnectionEvent.objects.filter(connection=OuterRef("pk"), kind__in=WAIT)
    began = Subquery(events.order_by("-pk").values("created_at")[:1])
    rows = SalesforceConnection.objects.filter(app__in=apps, status__in=WAIT).annotate(since=began)
    names = ("uuid", "organization_id", "organization_name", "status", "reason", "since")
    for row in rows.order_by(F("since").asc(nulls_first=True), "pk").values(*names)[:OLDEST]:
        yield Waiting(**row)
