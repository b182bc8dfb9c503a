"""What an exchange leaves out is nothing that anybody would miss, also while many are in flight."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
import requests
from requests import sessions

from django_sf_oauth import transport
from django_sf_oauth.adapters import environment
from django_sf_oauth.conf import AppSettings
from django_sf_oauth.protocol.errors import Refusal
from django_sf_oauth.protocol.tokens import TokenAnswer
from django_sf_oauth.transport.operations import HEADERS
from django_sf_oauth.transport.session import ExchangeSession

from .conftest import AppFor, Serve
from .server import GRANTED, NEW_ACCESS, REFRESH, Peer, answer, json_answer, replying


@pytest.fixture(autouse=True)
def nothing_asked_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_answers", {})


def refresh(app: AppSettings, login_url: str) -> TokenAnswer | Refusal:
    return transport.refresh(app, login_url=login_url, refresh_token=REFRESH)


def session_to(endpoint: str) -> ExchangeSession:
    return ExchangeSession(client_id="3MVG9.client", endpoint=endpoint, connect=30, deadline=time.monotonic() + 30)


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("POST", {"data": {"token": "a b&c=d+/ü", "none": ""}}),
        (
            "POST",
            {"data": {"token": "a"}, "headers": {"accept": "application/json", "Accept-Encoding": "identity"}},
        ),
        ("POST", {}),
        ("GET", {"headers": {"Authorization": "Bearer a"}}),
    ],
    ids=["form", "headers", "nothing", "get"],
)
def test_request_arrives_as_requests_sends_it(serve: Serve, method: str, given: dict[str, Any]) -> None:
    server = serve(replying(answer(200, b"")))
    endpoint = f"{server.url}/customers/services/oauth2/token"

    requests.request(method, endpoint, timeout=30, **given)
    session_to(endpoint).run(lambda session: session.request(method, "https://anywhere.example", **given))

    usual, ours = server.seen
    assert ours == usual
    assert ours.headers["connection"] == "keep-alive"


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\nb"])
def test_header_that_would_be_two_is_refused(serve: Serve, value: str) -> None:
    server = serve(replying(answer(200, b"")))

    outcome = session_to(server.url).run(
        lambda session: session.get(session.url, headers={"Authorization": value})
    )

    assert isinstance(outcome, Refusal)
    assert server.seen == []


def test_form_of_a_refresh_is_the_library_s(serve: Serve) -> None:
    server = serve(replying(answer(200, b"")))
    client: dict[str, Any] = {"client_id": "3MVG9.client", "client_secret": "a b&c=d+/", "format": "json"}

    session_to(server.url).run(
        lambda session: session.refresh_token(session.url, refresh_token=REFRESH, headers=HEADERS, **client)
    )
    session_to(server.url).run(lambda session: session.spend(REFRESH, headers=HEADERS, **client))

    library, ours = server.seen
    assert ours == library
    assert ours.form["refresh_token"] == [REFRESH]


def test_exchanges_in_flight_together_do_not_mix(serve: Serve, app_for: AppFor) -> None:
    everybody, numbers = threading.Barrier(128), count()

    def together(peer: Peer) -> None:
        everybody.wait(30)
        peer.send(json_answer(200, {**GRANTED, "access_token": f"{NEW_ACCESS}-{next(numbers)}"}))

    server = serve(together)
    app = app_for(server)
    tokens = [f"{REFRESH}-{number}" for number in range(128)]

    with ThreadPoolExecutor(128) as threads:
        outcomes = list(
            threads.map(lambda token: transport.refresh(app, login_url=server.url, refresh_token=token), tokens)
        )

    received = {outcome.access_token for outcome in outcomes if isinstance(outcome, TokenAnswer)}
    assert received == {f"{NEW_ACCESS}-{number}" for number in range(128)}
    assert sorted(seen.form["refresh_token"][0] for seen in server.seen) == sorted(tokens)


def test_environment_is_asked_once_for_all_exchanges(
    serve: Serve, app_for: AppFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ask(url: str, no_proxy: str | None) -> dict[str, str]:
        asked.append(url)
        return {}

    monkeypatch.setattr(sessions, "get_environ_proxies", ask)
    servers = [serve(replying(json_answer(200, GRANTED))) for _ in range(2)]
    app = app_for(*servers)

    outcomes = [refresh(app, server.url) for server in servers * 3]

    assert all(isinstance(outcome, TokenAnswer) for outcome in outcomes)
    assert asked == [f"{server.url}/services/oauth2/token" for server in servers]


def test_proxy_that_changes_is_noticed_by_the_next_exchange(
    serve: Serve, app_for: AppFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = serve(replying(json_answer(200, GRANTED))), serve(replying(json_answer(200, GRANTED)))
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    app = app_for(server)

    refresh(app, server.url)
    monkeypatch.setenv("http_proxy", proxy.url)
    refresh(app, server.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    refresh(app, server.url)

    assert (len(server.seen), len(proxy.seen)) == (2, 1)
