"""A site with a broker: connections that are due, and the workers that refresh them."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from celery import Celery
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import F
from django.utils import timezone

from benchmarks.token_endpoint import TokenEndpoint, first_token
from django_sf_oauth import tasks
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.protocol.identity import to_18
from django_sf_oauth.services import sweep
from tests.brokers.brokers import Broker
from tests.brokers.processes import Process
from tests.factories import make_connection
from tests.races.site import wait_for

__all__ = ["RENEWED", "Site"]

RENEWED = ("active", "", 2)

Ending = tuple[str, str, int]


@dataclass(kw_only=True)
class Site:
    """What all processes of a site share.

    Attributes:
        batch: connections per message.
        said: whatever its processes have written, once they have ended.
    """

    broker: Broker
    app: Celery
    endpoint: TokenEndpoint
    batch: int
    said: list[str] = field(default_factory=list)

    def connect(self, number: int) -> None:
        """So many connections, five to an org, all of them due; their access tokens live for half an hour more."""
        User = get_user_model()  # noqa: N806  # a class
        users = User.objects.bulk_create(User(username=f"user-{one}") for one in range(number))
        now = timezone.now()
        SalesforceConnection.objects.bulk_create(
            make_connection(
                save=False,
                user=user,
                username=user.username,
                organization_id=to_18(f"00D{one // 5:012d}"),
                login_url=self.endpoint.url,
                refresh_token=first_token(user.username),
                expires_at=now + timedelta(minutes=30),
                next_refresh_at=now - timedelta(minutes=1),
            )
            for one, user in enumerate(users)
        )

    def sweep(self, hand_over: Callable[[list[int]], object] | None = None) -> None:
        """Hands over all that is due, however much it is."""
        send = hand_over or tasks.refresh_connections.delay  # looked up now: of the app that is current
        sweep.refresh_due(send, limit=10**6, batch=self.batch)

    def let_claims_end(self) -> None:
        """Stands for the five minutes after which what was handed over is due again."""
        self.unrefreshed.update(claimed_until=None)

    def let_tokens_expire(self) -> None:
        """Stands for the half hour that the access tokens live."""
        self.unrefreshed.update(expires_at=timezone.now() - timedelta(minutes=1))

    @property
    def unrefreshed(self) -> Any:
        return SalesforceConnection.objects.filter(generation=1, status="active")

    def wait_until_in_flight(self, least: int) -> None:
        """Until Salesforce works at so many token requests."""
        wait_for(lambda: self.endpoint.counts()["flying"] >= least)

    def wait_until_landed(self) -> None:
        wait_for(lambda: self.endpoint.counts()["flying"] == 0)

    def wait_until_settled(self) -> float:
        """Until each connection is refreshed or flagged. Returns the seconds that it took."""
        began = time.monotonic()
        wait_for(lambda: not self.unrefreshed.exists())
        return time.monotonic() - began

    @property
    def endings(self) -> Mapping[Ending, int]:
        """How many connections ended how: status, reason and generation."""
        return Counter(SalesforceConnection.objects.values_list("status", "reason", "generation"))

    @property
    def lost(self) -> set[str]:
        """The usernames of those whose token was rotated and not stored."""
        stored = dict(SalesforceConnection.objects.values_list("username", F("generation") - 1))
        return {name for name, serial in self.endpoint.serials().items() if serial > stored[name]}

    @property
    def asked(self) -> Mapping[str, int]:
        """The token requests that there were, by how they ended; and the most for one connection."""
        counts = self.endpoint.counts()
        return {name: number for name, number in counts.items() if number}

    @contextmanager
    def worker(self, *, pool: str = "prefork", broker: Broker | None = None, **options: Any) -> Iterator[Process]:
        """A worker of two processes or threads."""
        queue = self.broker.name
        arguments = ["worker", "--pool", pool, "-c", "2", "-Q", queue, "-l", "INFO", "-n", f"{time.time()}@%h"]
        with self._started(*arguments, "--without-gossip", "--without-mingle", broker=broker, **options) as one:
            one.await_word(" ready.")
            yield one

    @contextmanager
    def beat(self, schedule: str, **options: Any) -> Iterator[Process]:
        """A beat that keeps its schedule in a file, and sweeps each second."""
        entry = {**tasks.beat_schedule()["django_sf_oauth.refresh_due"], "schedule": 1.0}
        with self._started("beat", "-s", schedule, "--pidfile=", beat_schedule={"sweep": entry}) as beat:
            yield beat

    @contextmanager
    def _started(self, *arguments: str, broker: Broker | None = None, **options: Any) -> Iterator[Process]:
        site = {
            "celery": {**(broker or self.broker).options(), **options},
            "database": {"NAME": connection.settings_dict["NAME"]},
            "salesforce": settings.SALESFORCE_OAUTH,
            "use_tz": settings.USE_TZ,
        }
        process = Process(*arguments, site=json.dumps(site))
        try:
            yield process
        finally:
            self.said.append(process.end())
