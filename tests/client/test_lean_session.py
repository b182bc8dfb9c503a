"""What the client leaves out of a call is nothing that a user of requests would miss."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import requests
from requests import sessions
from requests.exceptions import InvalidHeader

from django_sf_oauth.adapters import LeanSession, PooledAdapter, environment

from .conftest import Plug
from .wire import EXPIRED, INSTANCE, OK, Held, Wire, client_of

PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[Any, Any]:
    """The answers of the environment: none from other tests, and none for them."""
    kept: dict[Any, Any] = {}
    monkeypatch.setattr(environment, "_answers", kept)
    return kept


# The environment


def test_a_proxy_of_the_environment_is_used(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = plug(EXPIRED, OK)
    monkeypatch.setenv("HTTPS_PROXY", PROXY)

    client_of(Held()).get("query")

    assert [settings["proxies"]["https"] for settings in wire.settings] == [PROXY, PROXY]


def test_a_host_of_no_proxy_is_reached_directly(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = plug(OK, OK)
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", "acme.my.salesforce.com")
    client = client_of(Held())

    client.get("query")
    client.get("https://other.my.salesforce.com/")

    assert [settings["proxies"].get("https") for settings in wire.settings] == [None, PROXY]


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_bundle_of_the_environment_is_trusted(plug: Plug, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    wire = plug(OK)
    monkeypatch.setenv(name, "/etc/company.pem")

    client_of(Held()).get("query")

    assert wire.settings[0]["verify"] == "/etc/company.pem"


def test_the_environment_is_asked_once_for_each_host(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    plug(*[OK] * 5)
    asked: list[str] = []

    def ask(url: str, no_proxy: str | None = None) -> dict[str, str]:
        asked.append(url)
        return {}

    monkeypatch.setattr(sessions, "get_environ_proxies", ask)
    client = client_of(Held())

    for url in ["query", "limits", "/services/data/", "https://other.my.salesforce.com/"]:
        client.get(url)
    client_of(Held()).get("query")

    assert asked == [f"{INSTANCE}/services/data/v66.0/query", "https://other.my.salesforce.com/"]


@pytest.mark.parametrize("name", environment.VARIABLES)
def test_a_variable_that_changes_is_noticed(plug: Plug, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    plug(*[OK] * 3)
    asked: list[str] = []

    def ask(url: str, no_proxy: str | None) -> dict[str, str]:
        asked.append(url)
        return {}

    monkeypatch.setattr(sessions, "get_environ_proxies", ask)
    client = client_of(Held())
    client.get("query")

    monkeypatch.setenv(name, "acme.my.salesforce.com")
    client.get("query")
    monkeypatch.delenv(name)
    client.get("query")

    assert len(asked) == 2  # the third time is as the first one was


def test_what_the_environment_said_is_bounded(
    plug: Plug, monkeypatch: pytest.MonkeyPatch, answers: dict[Any, Any]
) -> None:
    wire = plug(*[OK] * 5)
    monkeypatch.setattr(environment, "REMEMBERED", 2)
    monkeypatch.setenv("HTTPS_PROXY", PROXY)

    for number in range(5):
        client_of(Held(f"https://org{number}.my.salesforce.com")).get("query")

    assert len(answers) == 1
    assert [settings["proxies"]["https"] for settings in wire.settings] == [PROXY] * 5


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"verify": False}, {"verify": False}),
        ({"verify": "/own.pem"}, {"verify": "/own.pem"}),
        ({"cert": ("/own.crt", "/own.key")}, {"cert": ("/own.crt", "/own.key"), "verify": "/etc/company.pem"}),
        ({"proxies": {"https": "http://own:1"}}, {"proxies": {"https": "http://own:1", "http": PROXY}}),
        ({"stream": True}, {"stream": True}),
    ],
    ids=["verify", "bundle", "cert", "proxies", "stream"],
)
def test_what_the_caller_gives_goes_before_the_environment_in_both_tries(
    plug: Plug, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], kept: dict[str, Any]
) -> None:
    wire = plug(OK, EXPIRED, OK, OK)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/company.pem")
    monkeypatch.setattr(sessions, "get_environ_proxies", lambda url, no_proxy: {"http": PROXY})
    client = client_of(Held())

    client.get("query")
    client.get("query", **given)
    client.get("query")

    usual, first, second, after = wire.settings
    assert [{name: tried[name] for name in kept} for tried in (first, second)] == [kept, kept]
    assert usual == after


@pytest.mark.parametrize(
    ("name", "value", "setting", "expected"),
    [
        ("verify", "/own.pem", "verify", "/own.pem"),
        ("proxies", {"https": PROXY}, "proxies", {"https": PROXY}),
        ("cert", "/own.pem", "cert", "/own.pem"),
        ("stream", True, "stream", True),
    ],
)
def test_a_setting_of_the_session_holds_from_the_next_call_on(
    plug: Plug, name: str, value: Any, setting: str, expected: Any
) -> None:
    wire = plug(OK, OK)
    client = client_of(Held())
    client.get("query")

    setattr(client, name, value)
    client.get("query")

    assert wire.settings[0][setting] != expected
    assert wire.settings[1][setting] == expected


def test_a_session_that_trusts_no_environment_asks_none(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = plug(OK, OK)
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    client = client_of(Held())
    client.get("query")

    client.trust_env = False
    client.get("query")

    assert [settings["proxies"] for settings in wire.settings] == [{"https": PROXY}, {}]


def test_a_hook_that_changes_the_proxies_changes_them_for_its_own_call(
    plug: Plug, answers: dict[Any, Any]
) -> None:
    wire = plug(OK, OK)
    client = client_of(Held())

    for _ in range(2):
        client.get("query", hooks={"response": lambda response, **kwargs: kwargs["proxies"].update(https=PROXY)})

    assert wire.settings[1]["proxies"] == {"https": PROXY}
    assert answers
    assert all(found["proxies"] == {} for found in answers.values())


# What is sent


def test_a_new_session_is_as_requests_makes_it_and_shares_nothing_with_the_next() -> None:
    usual = vars(requests.Session())
    one, other = vars(LeanSession(Wire())), vars(LeanSession(Wire()))

    assert one.keys() == usual.keys()
    for name in usual.keys() - {"adapters", "cookies"}:
        assert one[name] == usual[name]
    assert list(one["adapters"]) == list(usual["adapters"])
    assert list(one["cookies"]) == []
    changing = {name for name, value in usual.items() if hasattr(value, "clear")}
    assert changing >= {"adapters", "cookies", "headers", "hooks", "params", "proxies"}
    assert [name for name in changing if one[name] is other[name]] == []
    assert one["hooks"]["response"] is not other["hooks"]["response"]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"params": {"q": "SELECT Id", "none": None}},
        {"params": [("a", "1"), ("a", "2")]},
        {"params": b"q=1"},
        {"json": {"Name": "Æsop"}},
        {"data": {"a": ["1", "2"]}},
        {"data": "text"},
        {"data": b"bytes", "headers": {"Content-Type": "text/csv"}},
        {"data": io.BytesIO(b"a file")},
        {"files": {"file": ("a.csv", b"a,b", "text/csv")}, "data": {"entity": "{}"}},
        {"headers": {"ACCEPT": "text/csv", "User-Agent": None}},
        {"cookies": {"sid": "own"}},
        {"auth": ("user", "password")},
    ],
    ids=[
        *("nothing", "params", "pairs", "query-text", "json", "form", "text", "bytes", "stream", "files"),
        *("headers", "cookies", "auth"),
    ],
)
@pytest.mark.parametrize("method", ["get", "POST"])
@pytest.mark.parametrize("lived_in", [False, True])
def test_a_request_is_prepared_as_requests_prepares_it(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], method: str, lived_in: bool
) -> None:
    monkeypatch.setattr("urllib3.filepost.choose_boundary", lambda: "boundary")
    prepared = []
    session: Any
    for session in (requests.Session(), LeanSession(Wire())):
        session.auth = ("token", "")
        if lived_in:
            session.headers.update({"X-Own": "1", "Accept-Encoding": None})
            session.params = {"limit": "5"}
            session.cookies.set("theme", "dark")
            session.hooks = {"response": [print]}
        prepared.append(session.prepare_request(requests.Request(method, f"{INSTANCE}/a path?x=ü", **given)))

    usual, lean = prepared

    for name in ("method", "url", "body", "hooks"):
        assert getattr(lean, name) == getattr(usual, name)
    assert list(lean.headers.items()) == list(usual.headers.items())


def test_a_header_that_would_break_the_request_is_refused(plug: Plug) -> None:
    wire = plug()
    client = client_of(Held())
    client.headers["X-Own"] = "a\r\nX-Injected: b"

    with pytest.raises(InvalidHeader):
        client.get("query")
    assert wire.urls == []


def test_a_streamed_answer_is_left_to_the_caller(plug: Plug) -> None:
    plug((200, "line"))

    response = client_of(Held()).get("query", stream=True)

    assert response.raw.read() == b"line"


def test_hooks_of_the_session_and_of_the_call_see_the_answer_after_a_refresh(plug: Plug) -> None:
    plug(EXPIRED, OK, OK)
    client = client_of(Held())
    seen: list[tuple[str, int]] = []
    client.hooks["response"].append(lambda response, **kwargs: seen.append(("session", response.status_code)))
    own = {"response": lambda response, **kwargs: seen.append(("call", response.status_code))}

    client.get("query")
    client.get("query", hooks=own)

    assert seen == [("session", 200), ("call", 200)]  # requests takes those of the call instead of the session's


def test_a_call_changes_nothing_of_the_session(plug: Plug) -> None:
    plug(EXPIRED, OK)
    client: Any = client_of(Held())
    before = (client.auth, dict(client.headers), dict(client.params), dict(client.hooks))

    client.get("query", params={"q": "1"}, headers={"X-Own": "1"})

    assert (client.auth, dict(client.headers), dict(client.params), dict(client.hooks)) == before


def test_netrc_never_takes_the_place_of_the_token(
    plug: Plug, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    wire = plug((302, "", {"Location": "/services/data/"}), (302, "", {"Location": "https://files.example/"}), OK)

    client_of(Held()).get("query")

    assert wire.tokens == ["Bearer token-1", "Bearer token-1", None]


# The pool


def prepared(url: str) -> requests.PreparedRequest:
    return requests.Request("GET", url).prepare()


def test_a_known_host_is_found_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = PooledAdapter()
    first = adapter.get_connection_with_tls_context(prepared(f"{INSTANCE}/a"), verify=True)
    monkeypatch.setattr(PooledAdapter, "build_connection_pool_key_attributes", None)

    assert adapter.get_connection_with_tls_context(prepared(f"{INSTANCE}/b?c"), verify=True) is first


@pytest.mark.parametrize(
    "url", ["https://other.my.salesforce.com/", f"{INSTANCE}:8443/", "http://acme.my.salesforce.com/"]
)
def test_another_origin_has_another_pool(url: str) -> None:
    adapter = PooledAdapter()
    pools = [adapter.get_connection_with_tls_context(prepared(one), verify=True) for one in (f"{INSTANCE}/", url)]

    assert pools[0] is not pools[1]


def test_the_places_of_pools_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_sf_oauth.adapters.pool.HOST_POOLS", 2)
    adapter = PooledAdapter()
    urls = [f"https://org{number}.my.salesforce.com/" for number in range(3)]

    pools = [adapter.get_connection_with_tls_context(prepared(url), verify=True) for url in urls]

    assert len(adapter._pools) == 1
    assert adapter.get_connection_with_tls_context(prepared(urls[1]), verify=True) is pools[1]


def test_a_proxy_for_plain_http_is_given_the_whole_url() -> None:
    adapter = PooledAdapter()
    request = prepared("http://127.0.0.1:8001/services/data/?a=1")

    assert adapter.request_url(request, {}) == "/services/data/?a=1"
    assert adapter.request_url(request, {"http": PROXY}) == "http://127.0.0.1:8001/services/data/?a=1"
