"""A site with two users, its other process, and a clock of which nobody has to wait for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from unittest import mock

from django.conf import settings
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from django_sf_oauth import signals
from django_sf_oauth.conf import get_app
from django_sf_oauth.exceptions import SalesforceOAuthError
from django_sf_oauth.grants.engine import Engine
from django_sf_oauth.grants.refresh import Refresher
from django_sf_oauth.models import (
    AuditChain,
    ConnectAttempt,
    ConnectionEvent,
    Hold,
    Notice,
    PendingRevocation,
    SalesforceConnection,
)
from django_sf_oauth.models.store import engine, store
from django_sf_oauth.services.revoking import revoke_pending
from django_sf_oauth.services.schedule import refresh_connections
from django_sf_oauth.services.sweep import refresh_due
from django_sf_oauth.testing.records import RefreshToken, User
from tests.factories import make_user
from tests.journey import connect, signed_in_client

from .wire import Crash, WatchedSalesforce

__all__ = ["Person", "Site"]

LONG = timedelta(days=2)
BLINK = timedelta(minutes=5)
NAP = 40.0  # seconds for which each sleep counts: a few of them outlast a lease
TOLD = ("connected", "reconnected", "reconnect_required", "blocked", "recovered", "disconnected")


class HastyClock:
    """Its sleeps take no time, and count for much."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, NAP)

    def read(self) -> float:
        return self.now


elsewhere = Engine(store, Refresher(store=store))
"""Another process of the site: it shares nothing with this one but the database."""


@dataclass(eq=False)
class Person:
    """A user of the site, and of Salesforce."""

    user: Any
    browser: Client
    salesforce: User
    copy: SalesforceConnection = field(init=False)
    """What some part of the site still holds, however old it is."""

    @property
    def row(self) -> SalesforceConnection:
        return SalesforceConnection.objects.get(user=self.user)


class Site:
    """Attributes: told: by uuid of the connection, the signals that were sent about its state."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._clear()
        self.secrets = list(get_app("default").client_secrets)
        self.configure()
        self.fake = WatchedSalesforce(get_app("default"))
        self._stack.enter_context(self.fake.active())
        for process in (engine, elsewhere):
            clock = HastyClock()
            hasty = Refresher(store=store, sleep=clock.sleep, clock=clock.read)
            self._stack.enter_context(mock.patch.object(process, "_refresh", hasty))
        self.told: dict[Any, list[str]] = {}
        for name in TOLD:
            self._listen(name)
        self.people = [self._person(self.fake.user), self._person(self.fake.add_user("kim@acme-outdoor.example"))]

    def _person(self, salesforce: User) -> Person:
        user = make_user()
        person = Person(user=user, browser=signed_in_client(user), salesforce=salesforce)
        connect(person.browser, self.fake, username=salesforce.username)
        person.copy = person.row
        return person

    def _listen(self, name: str) -> None:
        def receive(connection: SalesforceConnection, **details: Any) -> None:
            self.told.setdefault(connection.uuid, []).append(name)

        signal = getattr(signals, name)
        signal.connect(receive, weak=False)
        self._stack.callback(signal.disconnect, receive)

    def close(self) -> None:
        self._stack.close()
        self._clear()

    def _clear(self) -> None:
        beside = (AuditChain, ConnectionEvent, ConnectAttempt, Hold, Notice, PendingRevocation)
        for model in (*beside, SalesforceConnection):
            model._base_manager.all()._raw_delete("default")

    def configure(self) -> None:
        """Deploys the settings with the consumer secrets that the site knows."""
        changed = {
            **settings.SALESFORCE_OAUTH,
            "CLIENT_SECRET": list(self.secrets),
            "RATE_LIMITS": {"connect": None, "callback": None},
            "TIMEOUTS": {"wait": 60},  # seconds; a busy machine is not what is tested
            "BREAKER": {"count": 4},
        }
        self._stack.enter_context(override_settings(SALESFORCE_OAUTH=changed))

    # What people and the site do

    def use(self, connection: SalesforceConnection) -> str:
        """Calls the API. Returns how it went, for example ``200`` or ``ReconnectRequired:revoked``."""
        with fared() as how:
            how.append(str(connection.client().get("limits").status_code))
        self.stretch_backoffs()
        return how[0]

    def refresh_now(self, person: Person) -> None:
        with fared():
            person.row.refresh()
        self.stretch_backoffs()

    def reconnect(self, person: Person) -> bool:
        """Presses Reconnect in the browser, and consents. Returns whether it worked."""
        before = person.row.connected_at
        if Hold.objects.of_kill_switch().exists():
            refused = person.browser.post(reverse("sf_oauth:reconnect", args=[person.row.uuid]))
            assert refused.status_code == 503
            return False
        connect(person.browser, self.fake, uuid=person.row.uuid, username=person.salesforce.username)
        return person.row.connected_at > before

    def ask_elsewhere(self, person: Person) -> None:
        """The other process refreshes, whatever there is to say against it."""
        row = person.row
        elsewhere.refresh(row.pk, row.generation, forced=True, patience=60.0)

    def sweep(self, people: list[Person]) -> None:
        rows = SalesforceConnection.objects.filter(user__in=[person.user for person in people])
        rows.filter(next_refresh_at__isnull=False).update(
            next_refresh_at=timezone.now() - LONG, claimed_until=None
        )
        refresh_due(refresh_connections)
        self.stretch_backoffs()

    def revoke_pending(self) -> None:
        PendingRevocation.objects.update(next_attempt_at=timezone.now() - LONG)
        revoke_pending()

    # What happens to it

    def expire_access_tokens(self, person: Person) -> None:
        self.fake.expire_access_tokens(person.salesforce)

    def end_leases(self) -> None:
        SalesforceConnection.objects.filter(lease_until__isnull=False).update(lease_until=1)

    def end_backoffs(self) -> None:
        ago = timezone.now() - LONG
        SalesforceConnection.objects.filter(retry_at__isnull=False).update(retry_at=ago)
        Hold.objects.filter(probe_at__isnull=False).update(probe_at=ago)

    def stretch_backoffs(self) -> None:
        """A back-off of half a second may or may not be over when somebody looks: it lasts until it is ended."""
        now = timezone.now()
        SalesforceConnection.objects.filter(retry_at__gt=now - BLINK).update(retry_at=now + LONG)

    def stop(self, scope: str) -> None:
        """An operator throws the kill switch."""
        Hold.objects.get_or_create(scope=scope, defaults={"reason": "incident"})

    def release(self) -> None:
        Hold.objects.of_kill_switch().delete()

    def admins_relent(self) -> None:
        self.fake.unblock_app()
        self.fake.restrict_ip(restricted=False)
        self.fake.reactivate_org()
        for person in self.people:
            self.fake.reactivate_user(person.salesforce)

    # What is true at Salesforce

    def stored_token(self, row: SalesforceConnection) -> RefreshToken | None:
        """The fake's own record of the refresh token that is in the row."""
        return self.fake.world.refresh_tokens[row.refresh_token.reveal()] if row.refresh_token else None

    def has_session(self, row: SalesforceConnection) -> bool:
        """Whether the access token in the row still opens the API."""
        return bool(row.access_token and self.fake.world.live_access_token(row.access_token.reveal()))

    def live_grants(self) -> set[str]:
        """The refresh tokens that Salesforce would take now, if the client and its admins let it."""
        tokens = self.fake.world.refresh_tokens.values()
        return {token.value for token in tokens if not token.rotated and not token.approval.revoked}

    def known_tokens(self) -> set[str]:
        """The refresh tokens that the site has, to use or to revoke."""
        rows = SalesforceConnection.objects.filter(refresh_token__isnull=False)
        pending = PendingRevocation.objects.all()
        sealed = [*(row.refresh_token for row in rows), *(row.token for row in pending)]
        return {token.reveal() for token in sealed if token}


@contextmanager
def fared() -> Iterator[list[str]]:
    how: list[str] = []
    try:
        yield how
    except SalesforceOAuthError as error:
        how.append(f"{type(error).__name__}:{error.code}")
    except Crash:
        how.append("crash")
