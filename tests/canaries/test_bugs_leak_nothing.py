"""An error that nobody foresaw, in the middle of whatever holds a secret, and an error on the wire."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError
from django.test import override_settings

from django_sf_oauth import transport
from django_sf_oauth.adapters import PooledAdapter, use_adapter
from django_sf_oauth.models import PendingRevocation, SalesforceConnection, disconnect
from django_sf_oauth.services import callback
from tests.journey import begin, come_back

from .conftest import Site

pytestmark = pytest.mark.django_db(transaction=True)


def broken(*args: object, **kwargs: object) -> None:
    raise RuntimeError("broken")


def connect(site: Site) -> None:
    come_back(site.browser, site.fake.authorize(begin(site.browser)))


def refresh(site: Site) -> None:
    site.attempt(site.user.salesforce_connections.get().refresh)


def give_up(site: Site) -> None:
    site.attempt(site.user.salesforce_connections.get().disconnect)


BUGS: dict[str, tuple[Any, str, Callable[[Site], None]]] = {
    "verify": (callback, "verify", connect),
    "store": (callback, "store", connect),
    "enrich": (callback, "enrich", connect),
    "exchange": (transport.operations, "_tokens", connect),
    "read-answer": (transport.operations, "read_answer", connect),
    "refresh": (transport.operations, "_tokens", refresh),
    "read-refreshed": (transport.operations, "read_answer", refresh),
    "disconnect": (PendingRevocation, "save", give_up),
    "revoke": (disconnect, "revoke_now", give_up),
}


@pytest.mark.parametrize(("home", "name", "act"), BUGS.values(), ids=BUGS.keys())
def test_a_bug_shows_no_secret(
    site: Site, check: Any, monkeypatch: pytest.MonkeyPatch, home: Any, name: str, act: Callable[[Site], None]
) -> None:
    site.connected()
    monkeypatch.setattr(home, name, broken)

    act(site)

    assert check() == []


def test_a_database_that_fails_shows_no_secret(site: Site, check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = site.connected()

    def fails(*args: object, **kwargs: object) -> None:
        raise DatabaseError("broken")

    monkeypatch.setattr(SalesforceConnection, "refresh_from_db", fails)
    site.attempt(connection.disconnect)
    connect(site)

    assert check() == []


@pytest.fixture
def nobody_listens(site: Site, settings: Any) -> SalesforceConnection:
    """A connection whose instance is a port that nobody listens on."""
    connection = site.connected()
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "TRUSTED_HOSTS": [host]}
    connection.instance_url = f"http://{host}"
    return connection


def test_an_api_that_cannot_be_reached_shows_no_token(
    site: Site, check: Any, nobody_listens: SalesforceConnection
) -> None:
    with use_adapter(PooledAdapter()):
        site.attempt(lambda: nobody_listens.client().get("query"))

    assert check() == []


def test_an_api_that_cannot_be_reached_asynchronously_shows_no_token(
    site: Site, check: Any, nobody_listens: SalesforceConnection
) -> None:
    with use_adapter(PooledAdapter()):
        site.attempt(lambda: asyncio.run(_ask_in_vain(nobody_listens)))

    assert check() == []


async def _ask_in_vain(connection: SalesforceConnection) -> None:
    async with connection.async_client() as client:
        await client.get("query")


def test_a_login_host_that_cannot_be_reached_shows_no_token(
    site: Site, check: Any, nobody_listens: SalesforceConnection
) -> None:
    SalesforceConnection.objects.update(login_url=nobody_listens.instance_url)

    with use_adapter(PooledAdapter()), override_settings(DEBUG=False):
        site.attempt(SalesforceConnection.objects.get().refresh)

    assert check() == []
