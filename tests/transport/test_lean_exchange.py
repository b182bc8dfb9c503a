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


def test_endpoint_is_asked_with_the_query_that_the_library_gives(serve: Serve) -> None:
    server = serve(replying(answer(200, b"")))

    session_to(server.url).run(lambda session: session.get(session.url, params={"a": "b c"}))

    assert [seen.path for seen in server.seen] == ["/?a=b+c"]


@pytest.mark.parametrize(
    "given",
    [
        {"data": {"token": "a b&c=d+/ü", "none": "", "several": ["1", "2"]}},
        {"data": [("a", "1"), ("a", "2")]},
        {"data": "a=1", "headers": {"Content-Type": "text/plain"}},
        {"headers": {"accept": "application/json", "User-Agent": None}},
        {"params": {"a": "b c"}},
    ],
    ids=["form", "pairs", "text", "headers", "params"],
)
def test_request_is_prepared_as_requests_prepares_it(given: dict[str, Any]) -> None:
    endpoint = "https://login.salesforce.com/customers/services/oauth2/token"
    session = session_to(endpoint)

    usual = requests.Session().prepare_request(requests.Request("POST", endpoint, **given))
    ours = session.prepare_request(requests.Request("POST", "https://anywhere.example", **given))

    assert (ours.method, ours.url, ours.body) == (usual.method, usual.url, usual.body)
    assert ours.headers == usual.headers


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
