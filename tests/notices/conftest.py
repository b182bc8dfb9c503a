"""A mail server that a test can take down, the site's time, and connections whose grants die."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.core.mail.backends.locmem import EmailBackend
from django.utils import timezone

from django_sf_oauth.models import ConnectionEvent, SalesforceConnection
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_user
from tests.fleet import connect_one
from tests.fleet_guard.conftest import Clock, fare

__all__ = ["WINDOW", "MailServer", "connect_reader", "die", "readers"]

WINDOW = timedelta(minutes=10)  # of the fleet guard, unless the settings say otherwise


class MailServer:
    """What stands behind Django's backend for tests, which keeps what is sent in ``mail.outbox``."""

    def __init__(self) -> None:
        self.is_down = False
        self.refused: set[str] = set()
        self.asked = 0

    def take(self, messages: Sequence[EmailMessage]) -> None:
        for message in messages:
            self.asked += 1
            if self.is_down or self.refused.intersection(message.to):
                raise OSError(f"no way to {message.to}")


@pytest.fixture(autouse=True)
def mail_server(monkeypatch: pytest.MonkeyPatch) -> MailServer:
    server = MailServer()
    send = EmailBackend.send_messages

    def send_messages(self: EmailBackend, messages: Sequence[EmailMessage]) -> int:
        server.take(messages)
        return send(self, messages)

    monkeypatch.setattr(EmailBackend, "send_messages", send_messages)
    return server


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timezone, "now", clock.now)
    # The field has kept the function that was there when it was made.
    monkeypatch.setattr(ConnectionEvent._meta.get_field("created_at"), "_get_default", clock.now)
    return clock


def connect_reader(fake: FakeSalesforce, name: str = "ada", **values: Any) -> SalesforceConnection:
    """A connection of a user who reads mails."""
    return connect_one(fake, user=make_user(email=f"{name}@example.com"), **values)


def die(fake: FakeSalesforce, *rows: SalesforceConnection) -> None:
    """Their grants end at Salesforce, and the site finds that out."""
    for row in rows:
        fake.revoke(fake.world.users[row.username])
        fare(row)


def readers() -> list[str]:
    """Who got a mail, in order."""
    return [address for message in mail.outbox for address in message.to]
