from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from django.db import connection as database
from django.test import RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from requests.adapters import BaseAdapter
from requests.models import PreparedRequest

from django_sf_oauth.adapters import shared_adapter, use_adapter
from django_sf_oauth.client import Client, ConnectionAuth
from django_sf_oauth.exceptions import (
    ConfigurationError,
    NotConnected,
    ReconnectRequired,
    TemporarilyUnavailable,
)
from django_sf_oauth.middleware import SalesforceMiddleware
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection

pytestmark = pytest.mark.django_db

EXPIRED = (401, '[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]')
OK = (200, "{}")
INSTANCE = "https://acme.my.salesforce.com"
QUERY = {"q": "SELECT Id FROM Account"}


class Wire(BaseAdapter):
    """Answers API requests from a script, and remembers what was sent where."""

    def __init__(self, *answers: tuple[int, str] | tuple[int, str, dict[str, str]]) -> None:
        super().__init__()
        self.answers = list(answers)
        self.urls: list[str] = []
        self.tokens: list[str | None] = []
        self.bodies: list[Any] = []
        self.timeouts: list[Any] = []
        self.closed = False

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        body: Any = request.body
        self.urls.append(request.url or "")
        self.tokens.append(request.headers.get("Authorization"))
        self.bodies.append(
            b"".join(body) if hasattr(body, "__iter__") and not isinstance(body, str | bytes) else body
        )
        self.timeouts.append(kwargs.get("timeout"))
        status, text, *headers = self.answers.pop(0)
        response = requests.Response()
        response.status_code = status
        response.raw = io.BytesIO(text.encode())
        response.headers.update({"Content-Type": "application/json", **(headers[0] if headers else {})})
        response.request, response.url = request, request.url or ""
        response.connection = self  # type: ignore[assignment]  # the stubs know of one adapter
        return response

    def close(self) -> None:
        self.closed = True


class Held:
    """A connection that renews itself without a database."""

    def __init__(self, instance_url: str = INSTANCE, moves_to: str = "") -> None:
        self.app = "default"
        self.generation = 1
        self.instance_url = instance_url
        self.moves_to = moves_to or instance_url
        self.refused: list[int] = []

    def bearer(self) -> str:
        return f"token-{self.generation}"

    def renew(self, refused_generation: int, *, forced: bool = False) -> None:
        self.refused.append(refused_generation)
        if refused_generation == self.generation:
            self.generation += 1
            self.instance_url = self.moves_to


Plug = Callable[..., Wire]


@pytest.fixture
def plug() -> Iterator[Plug]:
    """Plugs a wire into the package."""
    plugged = []

    def plug(*answers: Any) -> Wire:
        wire = Wire(*answers)
        context = use_adapter(wire)
        context.__enter__()
        plugged.append(context)
        return wire

    yield plug
    for context in reversed(plugged):
        context.__exit__(None, None, None)


def client_of(held: Held) -> Client:
    return Client(held)


# Where a request goes


@pytest.mark.parametrize(
    ("url", "full"),
    [
        ("query", f"{INSTANCE}/services/data/v66.0/query"),
        ("sobjects/Account/001", f"{INSTANCE}/services/data/v66.0/sobjects/Account/001"),
        ("/services/data/", f"{INSTANCE}/services/data/"),
        (b"/services/data/", f"{INSTANCE}/services/data/"),
        (f"{INSTANCE}/services/apexrest/x", f"{INSTANCE}/services/apexrest/x"),
    ],
    ids=["relative", "nested", "absolute-path", "bytes", "absolute"],
)
def test_a_url_is_completed_and_signed(plug: Plug, url: str | bytes, full: str) -> None:
    wire = plug(OK)

    client_of(Held()).get(url)

    assert (wire.urls, wire.tokens) == ([full], ["Bearer token-1"])


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/services/data/",
        "https://acme.my.salesforce.com.evil.example/",
        "https://other.my.salesforce.com/services/data/",
        "https://login.salesforce.com/services/data/",
        f"{INSTANCE}:8443/services/data/",
        "http://acme.my.salesforce.com/services/data/",
    ],
    ids=["foreign", "suffix", "other-org", "login", "other-port", "http-downgrade"],
)
def test_the_token_goes_to_no_other_origin(plug: Plug, url: str) -> None:
    wire = plug(OK, EXPIRED)
    held = Held()
    client = client_of(held)

    client.get(url)
    client.get(url)

    assert wire.tokens == [None, None]
    assert held.refused == []


@pytest.mark.parametrize(
    "path",
    ["//evil.example/x", "/\\evil.example", "\\\\evil.example", "https://a@evil.example/", "file:///etc/passwd"],
)
def test_a_path_that_could_mean_another_host_is_refused(plug: Plug, path: str) -> None:
    wire = plug()

    with pytest.raises(ValueError, match="URL"):
        client_of(Held()).get(path)
    assert wire.urls == []


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/",
        "https://other.my.salesforce.com/",
        f"{INSTANCE}:8443/",
        INSTANCE.replace("https", "http"),
    ],
    ids=["foreign", "other-org", "other-port", "http-downgrade"],
)
def test_a_redirect_to_another_origin_loses_the_token(plug: Plug, location: str) -> None:
    wire = plug((302, "", {"Location": location}), EXPIRED)
    held = Held()

    client_of(held).get("query")

    assert wire.tokens == ["Bearer token-1", None]
    assert held.refused == []


def test_a_redirect_within_the_instance_keeps_the_token(plug: Plug) -> None:
    wire = plug((302, "", {"Location": "/services/data/"}), OK)

    client_of(Held()).get("query")

    assert wire.tokens == ["Bearer token-1"] * 2


def test_a_redirect_after_a_refresh_carries_the_new_token(plug: Plug) -> None:
    wire = plug(EXPIRED, (302, "", {"Location": "/services/data/"}), OK)

    response = client_of(Held()).get("query")

    assert response.status_code == 200
    assert wire.tokens == ["Bearer token-1", "Bearer token-2", "Bearer token-2"]


# An expired session


def test_an_expired_session_is_refreshed_once_and_the_request_resent_once(plug: Plug) -> None:
    wire = plug(EXPIRED, OK)
    held = Held()

    response = client_of(held).post("sobjects/Account", json={"Name": "Acme"})

    assert response.status_code == 200
    assert wire.tokens == ["Bearer token-1", "Bearer token-2"]
    assert wire.bodies == [b'{"Name": "Acme"}'] * 2
    assert held.refused == [1]
    assert [one.status_code for one in response.history] == [401]


def test_a_refusal_after_a_redirect_is_the_second_one(plug: Plug) -> None:
    plug(EXPIRED, (302, "", {"Location": "/services/data/"}), EXPIRED, OK)
    held = Held()

    assert client_of(held).get("query").status_code == 401
    assert held.refused == [1]


def test_a_second_refusal_is_the_callers(plug: Plug) -> None:
    wire = plug(EXPIRED, EXPIRED)
    held = Held()

    assert client_of(held).get("query").status_code == 401
    assert (len(wire.urls), held.refused) == (2, [1])


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            401,
            '[{"message":"This session is not valid for use with the REST API","errorCode":"INVALID_SESSION_ID"}]',
        ),
        (401, '[{"message":"Connected app is not attached to Agent","errorCode":"INVALID_SESSION_ID"}]'),
        (403, '[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]'),
        (
            403,
            '[{"message":"The REST API is not enabled for this Organization","errorCode":"API_DISABLED_FOR_ORG"}]',
        ),
        (404, '[{"message":"The requested resource does not exist","errorCode":"NOT_FOUND"}]'),
        (503, "<html>maintenance</html>"),
        (200, '{"errorCode":"INVALID_SESSION_ID"}'),
    ],
    ids=["not-for-rest", "not-attached", "limit", "disabled", "not-found", "maintenance", "fine"],
)
def test_what_a_refresh_cannot_cure_is_not_refreshed(plug: Plug, status: int, body: str) -> None:
    wire = plug((status, body))
    held = Held()

    assert client_of(held).get("query").status_code == status
    assert (len(wire.urls), held.refused) == (1, [])


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, "Bad_OAuth_Token"),
        (400, "<error><exceptionCode>InvalidSessionId</exceptionCode></error>"),
        (500, "<faultcode>sf:INVALID_SESSION_ID</faultcode>"),
        (401, ""),
    ],
    ids=["userinfo", "bulk", "soap", "head"],
)
def test_every_surface_has_its_own_word_for_expired(plug: Plug, status: int, body: str) -> None:
    plug((status, body), OK)
    held = Held()

    assert client_of(held).get("/services/x").status_code == 200
    assert held.refused == [1]


def test_the_url_is_rebuilt_when_the_instance_has_moved(plug: Plug) -> None:
    wire = plug(EXPIRED, OK, OK)
    held = Held(moves_to="https://acme-na2.my.salesforce.com")
    client = client_of(held)

    client.get("query", params=QUERY)
    client.get(f"{INSTANCE}/services/data/")

    path = "/services/data/v66.0/query?q=SELECT+Id+FROM+Account"
    assert wire.urls == [
        f"{INSTANCE}{path}",
        f"https://acme-na2.my.salesforce.com{path}",
        "https://acme-na2.my.salesforce.com/services/data/",
    ]
    assert wire.tokens[1:] == ["Bearer token-2"] * 2


def test_another_threads_refresh_just_before_signing_is_not_repeated(plug: Plug) -> None:
    """The generation that a 401 speaks of is read before the token, never after it."""
    wire = plug(EXPIRED, OK)

    class Overtaken(Held):
        def bearer(self) -> str:
            token = super().bearer()
            if not self.refused:
                self.renew(1)  # another thread, between the token and whatever is read next
            return token

    held = Overtaken()

    assert client_of(held).get("query").status_code == 200
    assert (held.generation, held.refused) == (2, [1, 1])
    assert wire.tokens == ["Bearer token-1", "Bearer token-2"]


# Bodies


def test_a_generator_is_not_sent_again_and_the_error_says_so(plug: Plug) -> None:
    wire = plug(EXPIRED)
    held = Held()

    with pytest.raises(TemporarilyUnavailable, match="stream") as caught:
        client_of(held).post("sobjects/Account", data=(part for part in [b"a", b"b"]))

    assert caught.value.code == "body_not_resendable"
    assert (len(wire.urls), held.refused) == (1, [1])


def test_a_file_is_rewound_to_where_it_stood(plug: Plug) -> None:
    wire = plug(EXPIRED, OK)
    file = io.BytesIO(b"skipped,content")
    file.seek(8)

    client_of(Held()).put("jobs/ingest/1/batches", data=file)

    assert wire.bodies == [b"content"] * 2


@pytest.mark.parametrize("data", [None, "text", b"bytes", {"a": "form"}], ids=["none", "text", "bytes", "form"])
def test_a_plain_body_is_sent_again(plug: Plug, data: Any) -> None:
    wire = plug(EXPIRED, OK)

    client_of(Held()).post("x", data=data)

    assert wire.bodies[0] == wire.bodies[1]


# The session


@pytest.mark.parametrize(
    ("given", "kept"),
    [({}, (5.0, 60.0)), ({"timeout": 3}, 3), ({"timeout": None}, None)],
    ids=["ours", "own", "none"],
)
def test_the_callers_timeout_holds_for_both_tries(plug: Plug, given: dict[str, Any], kept: Any) -> None:
    wire = plug(EXPIRED, OK)

    client_of(Held()).get("query", **given)

    assert wire.timeouts == [kept, kept]


def test_closing_a_session_keeps_the_shared_pool(plug: Plug) -> None:
    wire = plug(OK)

    with client_of(Held()) as client:
        client.get("query")

    assert not wire.closed


def test_sessions_share_the_adapter_of_the_moment(plug: Plug) -> None:
    client = client_of(Held())
    first, second = plug(OK), plug(OK)

    client.get("query")

    assert (len(first.urls), len(second.urls)) == (0, 1)
    assert shared_adapter() is second


def test_any_requests_session_can_use_the_connection() -> None:
    wire = Wire(EXPIRED, OK)
    with requests.Session() as session:
        session.mount("https://", wire)

        response = session.get(f"{INSTANCE}/services/data/", auth=ConnectionAuth(Held()))

    assert response.status_code == 200
    assert wire.tokens == ["Bearer token-1", "Bearer token-2"]


# The whole way, against the fake


def test_a_dead_access_token_goes_unnoticed(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    fake_salesforce.expire_access_tokens()

    answer = salesforce_connection.client().get("query", params=QUERY)

    assert answer.status_code == 200
    assert answer.json()["totalSize"] == 12
    assert fake_salesforce.token_requests == 1


def test_auth_alone_does_the_same(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    fake_salesforce.expire_access_tokens()
    with requests.Session() as session:
        session.mount("https://", fake_salesforce.adapter())

        answer = session.get(
            f"{salesforce_connection.instance_url}/services/data/v66.0/limits", auth=salesforce_connection.auth()
        )

    assert answer.status_code == 200
    assert fake_salesforce.token_requests == 1


def test_a_moved_org_goes_unnoticed(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    client = salesforce_connection.client()
    host = fake_salesforce.move_instance()

    answer = client.get("query", params=QUERY)

    assert (answer.status_code, urlsplit(answer.url).netloc) == (200, host)


def test_a_revoked_grant_asks_for_a_reconnect(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    fake_salesforce.revoke()
    client = salesforce_connection.client()

    for _ in range(3):
        with pytest.raises(ReconnectRequired):
            client.get("query", params=QUERY)

    assert fake_salesforce.token_requests == 1


def test_simple_salesforce_reads_a_query_with_a_dead_access_token(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    fake_salesforce.expire_access_tokens()

    found = salesforce_connection.simple_salesforce().query("SELECT Id FROM Account")

    assert found["totalSize"] == 12
    assert fake_salesforce.token_requests == 1


def test_simple_salesforce_reaches_an_instance_on_loopback(plug: Plug) -> None:
    """It writes https whatever the URL says; a fake on a local port has none."""
    wire = plug((200, '{"totalSize": 0}'))
    row = make_connection(instance_url="http://127.0.0.1:8001")

    row.simple_salesforce().query("SELECT Id FROM Account")

    assert wire.urls[0].startswith("http://127.0.0.1:8001/services/data/v66.0/query/")
    assert wire.tokens == [f"Bearer {row.bearer()}"]


def test_without_simple_salesforce_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simple_salesforce", None)

    with pytest.raises(ConfigurationError, match=r"django-sf-oauth\[simple-salesforce\]") as caught:
        make_connection().simple_salesforce()

    assert caught.value.code == "missing_extra"


# request.salesforce


def request_of(user: object) -> Any:
    request = RequestFactory().get("/")
    request.user = user  # type: ignore[assignment]  # as the middleware before ours does
    seen: list[Any] = []
    SalesforceMiddleware(lambda request: seen.append(request))(request)
    return seen[0]


def test_request_salesforce_costs_nothing_until_it_is_used(salesforce_connection: SalesforceConnection) -> None:
    with CaptureQueriesContext(database) as untouched:
        request = request_of(salesforce_connection.user)
    with CaptureQueriesContext(database) as first:
        answer = request.salesforce.get("query", params=QUERY)
    with CaptureQueriesContext(database) as second:
        request.salesforce.get("query", params=QUERY)

    assert answer.json()["totalSize"] == 12
    assert (len(untouched), len(first), len(second)) == (0, 1, 0)


def test_request_salesforce_of_nobody_raises_when_it_is_used_and_not_before() -> None:
    request = request_of(None)

    with pytest.raises(NotConnected):
        request.salesforce.get("query")


def test_the_version_of_the_api_follows_the_settings(plug: Plug) -> None:
    wire = plug(OK)

    with override_settings(
        SALESFORCE_OAUTH={"CLIENT_ID": "3MVG9.one", "CLIENT_SECRET": None, "API_VERSION": "64.0"}
    ):
        client_of(Held()).get("query")

    assert wire.urls == [f"{INSTANCE}/services/data/v64.0/query"]
