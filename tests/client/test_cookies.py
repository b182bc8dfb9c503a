"""Cookies: those of an answer stay with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar

from django_sf_oauth.adapters import PooledAdapter, use_adapter
from tests.transport.server import HostileServer, answer, replying, serving

from .wire import Held, client_of


@pytest.fixture(autouse=True)
def own_pool() -> Iterator[None]:
    adapter = PooledAdapter()
    with use_adapter(adapter):
        yield
    HTTPAdapter.close(adapter)


@pytest.fixture
def org(settings: Any) -> Iterator[HostileServer]:
    with serving(replying(answer(200, b"{}", headers={"Set-Cookie": "BrowserId=of-this-org; Path=/"}))) as server:
        trusted = {"TRUSTED_HOSTS": [server.url.partition("://")[2]]}
        settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, **trusted}
        yield server


def cookies(server: HostileServer) -> list[str | None]:
    return [seen.headers.get("cookie") for seen in server.seen]


def test_a_cookie_of_an_answer_is_not_sent_to_its_own_org_nor_to_another(org: HostileServer) -> None:
    with serving(replying(answer(200, b"{}"))) as other:
        client = client_of(Held(instance_url=org.url))

        first = client.get("query")
        client.get("query")
        client.get(f"{other.url}/")

        assert first.cookies.get_dict() == {"BrowserId": "of-this-org"}
        assert (cookies(org), cookies(other)) == ([None, None], [None])
    assert not client.cookies


def test_a_cookie_that_the_caller_sets_is_sent(org: HostileServer) -> None:
    client = client_of(Held(instance_url=org.url))
    client.cookies.set("theme", "dark")

    client.get("query")
    client.get("query", cookies={"once": "only"})

    assert [sorted((found or "").split("; ")) for found in cookies(org)] == [
        ["theme=dark"],
        ["once=only", "theme=dark"],
    ]


def test_a_jar_of_the_callers_own_keeps_what_comes(org: HostileServer) -> None:
    client = client_of(Held(instance_url=org.url))
    client.cookies = RequestsCookieJar()

    client.get("query")
    client.get("query")

    assert cookies(org) == [None, "BrowserId=of-this-org"]
