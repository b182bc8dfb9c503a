"""A user's way to Salesforce and back, as their browser takes it."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from django.test import Client
from django.urls import reverse

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.testing import FakeSalesforce

from .factories import make_user

__all__ = ["begin", "code_of", "come_back", "connect", "continue_url", "query_of", "signed_in_client"]

CALLBACK = "/salesforce/callback/"


def signed_in_client(user: Any = None, **settings: Any) -> Client:
    client = Client(**settings)
    client.force_login(user or make_user())
    return client


def continue_url(response: Any) -> str:
    """Where the page that goes on by itself leads."""
    match = re.search(r'id="sf-oauth-continue" href="([^"]+)"', response.content.decode())
    assert match is not None, response.content.decode()
    return html.unescape(match[1])


def begin(client: Client, uuid: UUID | None = None, **form: str) -> str:
    """Presses Connect, or Reconnect of one connection. Returns the authorization URL."""
    path = reverse("sf_oauth:reconnect", args=[uuid]) if uuid else reverse("sf_oauth:connect")
    return continue_url(client.post(path, form))


def come_back(client: Client, location: str) -> Any:
    """Follows Salesforce's redirect to the callback."""
    parts = urlsplit(location)
    return client.get(f"{parts.path}?{parts.query}")


def connect(
    client: Client, fake: FakeSalesforce, *, uuid: UUID | None = None, username: str | None = None, **form: str
) -> Any:
    """The whole way. Returns the answer of the callback."""
    return come_back(client, fake.authorize(begin(client, uuid, **form), username=username))


def the_connection() -> SalesforceConnection:
    return SalesforceConnection.objects.get()


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def code_of(response: Any) -> str:
    """The stable code that a failure page shows."""
    match = re.search(r"<code>([a-z_]+)</code>\s*</p>\s*</section>", response.content.decode())
    return match[1] if match else ""
