"""The async client, over a script, over the fake in process, and over the fake on a port."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from asgiref.sync import async_to_sync
from django.db import connection as database
from django.test import TestCase
from django.utils import timezone

from django_sf_oauth.aclient import AsyncClient
from django_sf_oauth.adapters import use_adapter
from django_sf_oauth.exceptions import (
    ConfigurationError,
    ReconnectRequired,
    TemporarilyUnavailable,
)
from django_sf_oauth.fields import Sealed
from django_sf_oauth.models import Hold, SalesforceConnection
from django_sf_oauth.testing import FakeSalesforce, ForeignHost
from django_sf_oauth.testing.from_settings import connect, fake_from_settings
from django_sf_oauth.testing.server import FakeServer
from tests.factories import make_connection
from tests.races.site import SOON, Site

EXPIRED = httpx2.Response(401, json=[{"message": "Session expired", "errorCode": "INVALID_SESSION_ID"}])
OK = httpx2.Response(200, json={})
INSTANCE = "https://acme.my.salesforce.com"
MOVED = "https://acme-na2.my.salesforce.com"
QUERY = {"q": "SELECT Id FROM Account"}

Job = Callable[[AsyncClient], Coroutine[Any, Any, Any]]


class Wire(httpx2.AsyncBaseTransport):
    """Answers from a script, and remembers what was sent where. It is its own adapter, to be plugged in."""

    def __init__(self, *answers: httpx2.Response) -> None:
        self.answers = list(answers)
        self.urls: list[str] = []
        self.hosts: list[str] = []
        self.tokens: list[str | None] = []
        self.cookies: list[str | None] = []
        self.bodies: list[bytes] = []
        self.timeouts: list[Any] = []

    def async_twin(self) -> Wire:
        return self

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        stream: Any = request.stream
        self.urls.append(str(request.url))
        self.hosts.append(request.headers["Host"])
        self.tokens.append(request.headers.get("Authorization"))
        self.cookies.append(request.headers.get("Cookie"))
        self.bodies.append(b"".join([part async for part in stream]))
        self.timeouts.append(request.extensions["timeout"])
        scripted = self.answers.pop(0)
        return httpx2.Response(scripted.status_code, headers=scripted.headers, stream=Once(scripted.content))


class Once(httpx2.AsyncByteStream):
    """A body that comes over the wire, and must be read before anybody looks at it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


class Held:
    """A connection that renews itself without a database."""

    def __init__(self, instance_url: str = INSTANCE, moves_to: str = "") -> None:
        self.app = "default"
        self.generation = 1
        self.instance_url = instance_url
        self.moves_to = moves_to or instance_url
        self.refused: list[int] = []

    async def abearer(self) -> str:
        return f"token-{self.generation}"

    async def arenew(self, refused_generation: int, *, forced: bool = False) -> bool:
        self.refused.append(refused_generation)
        if refused_generation == self.generation:
            self.generation += 1
            self.instance_url = self.moves_to
        return True


def redirect(location: str, status: int = 302) -> httpx2.Response:
    return httpx2.Response(status, headers={"Location": location})


def with_client(held: Any, wire: Wire, job: Job) -> Any:
    async def run() -> Any:
        async with AsyncClient(held) as client:
            return await job(client)

    plugged: Any = wire
    with use_adapter(plugged):
        return asyncio.run(run())


# Where a request goes


@pytest.mark.parametrize(
    ("url", "full"),
    [
        ("query", f"{INSTANCE}/services/data/v66.0/query"),
        ("sobjects/Account/001", f"{INSTANCE}/services/data/v66.0/sobjects/Account/001"),
        ("/services/data/", f"{INSTANCE}/services/data/"),
        (httpx2.URL("/services/data/"), f"{INSTANCE}/services/data/"),
        (f"{INSTANCE}/services/apexrest/x", f"{INSTANCE}/services/apexrest/x"),
    ],
    ids=["relative", "nested", "absolute-path", "url-object", "absolute"],
)
def test_a_url_is_completed_and_signed(url: str, full: str) -> None:
    wire = Wire(OK)

    with_client(Held(), wire, lambda client: client.get(url))

    assert (wire.urls, wire.tokens) == ([full], ["Bearer token-1"])


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/services/data/",
        "https://acme.my.salesforce.com.evil.example/",
        "https://other.my.salesforce.com/services/data/",
        f"{INSTANCE}:8443/services/data/",
        "http://acme.my.salesforce.com/services/data/",
    ],
    ids=["foreign", "suffix", "other-org", "other-port", "http-downgrade"],
)
def test_the_token_goes_to_no_other_origin(url: str) -> None:
    wire, held = Wire(EXPIRED), Held()

    with_client(held, wire, lambda client: client.get(url))

    assert (wire.tokens, held.refused) == ([None], [])


def test_an_instance_that_is_trusted_no_more_gets_no_token() -> None:
    wire = Wire()

    with pytest.raises(ConfigurationError) as caught:
        with_client(Held(instance_url="https://crm.example"), wire, lambda client: client.get("query"))

    assert (caught.value.code, wire.urls) == ("untrusted_host", [])


@pytest.mark.parametrize("path", ["//evil.example/x", "/\\evil.example", "https://a@evil.example/"])
def test_a_path_that_could_mean_another_host_is_refused(path: str) -> None:
    wire = Wire()

    with pytest.raises(ValueError, match="URL"):
        with_client(Held(), wire, lambda client: client.get(path))
    assert wire.urls == []


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/",
        "https://other.my.salesforce.com/",
        f"{INSTANCE}:8443/",
        "http://acme.my.salesforce.com/",
    ],
    ids=["foreign", "other-org", "other-port", "http-downgrade"],
)
def test_a_redirect_to_another_origin_loses_the_token(location: str) -> None:
    wire, held = Wire(redirect(location), EXPIRED), Held()

    with_client(held, wire, lambda client: client.get("query"))

    assert (wire.tokens, held.refused) == (["Bearer token-1", None], [])


def test_a_redirect_within_the_instance_keeps_the_token_also_after_a_refresh() -> None:
    wire = Wire(redirect("/services/data/"), EXPIRED, redirect("/services/data/"), OK)

    answer = with_client(Held(), wire, lambda client: client.get("query"))

    assert answer.status_code == 200
    assert wire.tokens == ["Bearer token-1"] * 2 + ["Bearer token-2"] * 2


def test_a_cookie_of_an_answer_is_not_sent_on() -> None:
    sets = httpx2.Response(200, headers={"Set-Cookie": "sid=of-one-org; Domain=.salesforce.com; Path=/"})
    wire = Wire(sets, OK)

    async def twice(client: AsyncClient) -> None:
        await client.get("query")
        await client.get("query", headers={"X-Second": "1"})

    with_client(Held(), wire, twice)

    assert wire.cookies == [None, None]


# An expired session


def test_an_expired_session_is_refreshed_once_and_the_request_resent_once() -> None:
    wire, held = Wire(EXPIRED, OK), Held()

    answer = with_client(held, wire, lambda client: client.post("sobjects/Account", json={"Name": "Acme"}))

    assert (answer.status_code, [one.status_code for one in answer.history]) == (200, [401])
    assert wire.tokens == ["Bearer token-1", "Bearer token-2"]
    assert wire.bodies == [b'{"Name":"Acme"}'] * 2
    assert held.refused == [1]


def test_a_second_refusal_is_the_callers() -> None:
    wire, held = Wire(EXPIRED, EXPIRED), Held()

    answer = with_client(held, wire, lambda client: client.get("query"))

    assert (answer.status_code, len(wire.urls), held.refused) == (401, 2, [1])


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            401,
            '[{"message":"This session is not valid for use with the REST API","errorCode":"INVALID_SESSION_ID"}]',
        ),
        (403, '[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]'),
        (403, '[{"message":"insufficient access","errorCode":"INSUFFICIENT_ACCESS"}]'),
        (200, '{"errorCode":"INVALID_SESSION_ID"}'),
    ],
    ids=["not-for-rest", "limit", "forbidden", "fine"],
)
def test_what_a_refresh_cannot_cure_is_not_refreshed(status: int, body: str) -> None:
    wire, held = Wire(httpx2.Response(status, content=body)), Held()

    answer = with_client(held, wire, lambda client: client.get("query"))

    assert (answer.status_code, answer.text, len(wire.urls), held.refused) == (status, body, 1, [])


def test_a_streamed_answer_is_refreshed_too() -> None:
    wire, held = Wire(EXPIRED, httpx2.Response(200, content=b"rows")), Held()

    async def stream(client: AsyncClient) -> list[bytes]:
        async with client.stream("GET", "jobs/query/750/results") as answer:
            return [part async for part in answer.aiter_bytes()]

    assert with_client(held, wire, stream) == [b"rows"]
    assert held.refused == [1]


def test_the_url_is_rebuilt_when_the_instance_has_moved() -> None:
    wire = Wire(EXPIRED, OK, OK)

    async def calls(client: AsyncClient) -> None:
        await client.get("query", params=QUERY)
        await client.get(f"{INSTANCE}/services/data/")

    with_client(Held(moves_to=MOVED), wire, calls)

    path = "/services/data/v66.0/query?q=SELECT+Id+FROM+Account"
    assert wire.urls == [f"{INSTANCE}{path}", f"{MOVED}{path}", f"{MOVED}/services/data/"]
    assert wire.hosts == ["acme.my.salesforce.com"] + ["acme-na2.my.salesforce.com"] * 2
    assert wire.tokens[1:] == ["Bearer token-2"] * 2


def test_another_tasks_refresh_just_before_signing_is_not_repeated() -> None:
    """The generation that a 401 speaks of is read before the token, never after it."""
    wire = Wire(EXPIRED, OK)

    class Overtaken(Held):
        async def abearer(self) -> str:
            token = await super().abearer()
            if not self.refused:
                await self.arenew(1)  # another task, while this one waits
            return token

    held = Overtaken()

    assert with_client(held, wire, lambda client: client.get("query")).status_code == 200
    assert (held.generation, held.refused) == (2, [1, 1])
    assert wire.tokens == ["Bearer token-1", "Bearer token-2"]


# Bodies


def test_a_generator_is_not_sent_again_and_the_error_says_so() -> None:
    wire, held = Wire(EXPIRED), Held()

    async def parts() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    with pytest.raises(TemporarilyUnavailable, match="stream") as caught:
        with_client(held, wire, lambda client: client.put("jobs/ingest/750/batches", content=parts()))

    assert caught.value.code == "body_not_resendable"
    assert (wire.bodies, held.refused) == ([b"ab"], [1])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"content": "text"},
        {"content": b"bytes"},
        {"data": {"a": "form"}},
        {"files": {"f": io.BytesIO(b"file")}},
    ],
    ids=["none", "text", "bytes", "form", "file"],
)
def test_a_plain_body_is_sent_again(body: dict[str, Any]) -> None:
    wire = Wire(EXPIRED, OK)

    with_client(Held(), wire, lambda client: client.post("x", **body))

    assert wire.bodies[0] == wire.bodies[1]
    assert wire.bodies[0] or not body


# The client


@pytest.mark.parametrize(
    ("given", "kept"),
    [({}, (5.0, 60.0)), ({"timeout": 3}, (3, 3)), ({"timeout": None}, (None, None))],
    ids=["ours", "own", "none"],
)
def test_the_callers_timeout_holds_for_both_tries(given: dict[str, Any], kept: Any) -> None:
    wire = Wire(EXPIRED, OK)

    with_client(Held(), wire, lambda client: client.get("query", **given))

    assert [(one["connect"], one["read"]) for one in wire.timeouts] == [kept, kept]


@pytest.mark.django_db
def test_without_httpx2_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "django_sf_oauth.aclient")
    monkeypatch.setitem(sys.modules, "httpx2", None)

    with pytest.raises(ConfigurationError, match=r"django-sf-oauth\[async\]") as caught:
        make_connection().async_client()

    assert caught.value.code == "missing_extra"


# Inside a TestCase, against the fake in process: Django runs the loop on a thread beside the test's own


class InsideATestCase(TestCase):
    def setUp(self) -> None:
        self.fake = self.enterContext(fake_from_settings().active())
        self.row = connect(self.fake)

    async def test_a_dead_access_token_goes_unnoticed(self) -> None:
        self.fake.expire_access_tokens()

        async with self.row.async_client() as client:
            answers = await asyncio.gather(*(client.get("query", params=QUERY) for _ in range(20)))

        assert [one.json()["totalSize"] for one in answers] == [12] * 20
        assert self.fake.token_requests == 1

    async def test_a_moved_org_goes_unnoticed(self) -> None:
        client = self.row.async_client()
        host = self.fake.move_instance()

        answer = await client.get("query", params=QUERY)

        assert (answer.status_code, answer.url.host) == (200, host)

    async def test_a_revoked_grant_asks_for_a_reconnect_without_another_request(self) -> None:
        self.fake.revoke()
        client = self.row.async_client()

        for _ in range(3):
            with pytest.raises(ReconnectRequired):
                await client.get("query", params=QUERY)

        assert self.fake.token_requests == 1

    async def test_a_connection_without_an_access_token_gets_one_first(self) -> None:
        self.row.access_token = None

        assert (await self.row.async_client().get("limits")).status_code == 200
        assert self.fake.token_requests == 1

    async def test_an_access_token_that_no_key_opens_is_replaced(self) -> None:
        self.row.__dict__["access_token"] = Sealed(b"s1:gone:x")

        assert (await self.row.async_client().get("limits")).status_code == 200

    async def test_the_kill_switch_holds(self) -> None:
        await Hold.objects.acreate(scope="all", reason="stopped")

        with pytest.raises(TemporarilyUnavailable) as caught:
            await self.row.async_client().get("limits")

        assert (caught.value.code, self.fake.requests) == ("stopped", [])

    async def test_the_token_is_in_no_record_of_any_log(self) -> None:
        self.fake.expire_access_tokens()

        with self.assertLogs(level=logging.DEBUG) as logs:
            await self.row.async_client().get("limits")

        token = self.row.access_token
        assert token is not None
        assert not [line for line in logs.output if token.reveal() in line or "Bearer" in line]

    async def test_a_request_elsewhere_fails(self) -> None:
        with pytest.raises(ForeignHost):
            await self.row.async_client().get("https://elsewhere.example/")

    async def test_a_lost_answer_is_an_error_of_httpx2(self) -> None:
        self.fake.lose_answer()

        with pytest.raises(httpx2.RemoteProtocolError):
            await self.row.async_client().post("/services/oauth2/token", data={"grant_type": "refresh_token"})


# With the engine's own threads, against the fake on a port


@pytest.fixture
def site(settings: Any, transactional_db: None) -> Iterator[Site]:
    with FakeServer(fake_from_settings()) as server:
        settings.SALESFORCE_OAUTH = {
            **settings.SALESFORCE_OAUTH,
            "TRUSTED_HOSTS": [server.url.partition("://")[2]],
            "TIMEOUTS": {"wait": SOON},  # a busy machine is not what is tested
        }
        yield Site(fake=server.fake, origin=server.url)


@pytest.fixture
def row(site: Site) -> SalesforceConnection:
    return site.connect()


def reload(row: SalesforceConnection) -> SalesforceConnection:
    return SalesforceConnection.objects.get(pk=row.pk)


async def limits(row: SalesforceConnection) -> int:
    async with row.async_client() as client:
        return (await client.get("limits")).status_code


def test_twenty_tasks_make_one_token_request(site: Site, row: SalesforceConnection) -> None:
    rows = [reload(row) for _ in range(20)]

    async def race() -> list[int]:
        return await asyncio.gather(*map(limits, rows))

    assert async_to_sync(race)() == [200] * 20
    assert site.fake.token_requests == 1
    assert reload(row).generation == 2


def test_use_is_noted_once_an_hour(site: Site, row: SalesforceConnection) -> None:
    SalesforceConnection.objects.update(last_used_at=None)
    fresh = reload(row)

    async_to_sync(limits)(fresh)
    noted = reload(row).last_used_at
    async_to_sync(limits)(fresh)

    assert noted is not None
    assert reload(row).last_used_at == noted


def test_sync_and_async_callers_share_one_token_request(site: Site, row: SalesforceConnection) -> None:
    fared: list[int] = []

    def call(one: SalesforceConnection) -> None:
        try:
            fared.append(one.client().get("limits").status_code)
        finally:
            database.close()

    threads = [threading.Thread(target=call, args=[reload(row)]) for _ in range(4)]
    rows = [reload(row) for _ in range(4)]

    async def race() -> list[int]:
        return await asyncio.gather(*map(limits, rows))

    with site.fake.hold() as held:
        for thread in threads:
            thread.start()
        held.wait_for()
        threading.Timer(0.2, held.release).start()
        fared += async_to_sync(race)()
    for thread in threads:
        thread.join(SOON)

    assert fared == [200] * 8
    assert site.fake.token_requests == 1


def test_a_cancelled_caller_leaves_the_refresh_to_be_stored(site: Site, row: SalesforceConnection) -> None:
    async def give_up() -> None:
        with site.fake.hold() as held:
            task = asyncio.create_task(limits(row))
            await asyncio.to_thread(held.wait_for)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    async_to_sync(give_up)()

    assert async_to_sync(limits)(row) == 200
    assert (site.fake.token_requests, reload(row).generation) == (1, 2)


def test_a_loop_that_ends_before_the_refresh_disturbs_it_not(
    site: Site, row: SalesforceConnection, caplog: pytest.LogCaptureFixture
) -> None:
    with site.fake.hold() as held:

        async def give_up() -> None:
            task = asyncio.create_task(limits(row))
            await asyncio.to_thread(held.wait_for)
            task.cancel()

        async_to_sync(give_up)()

    assert async_to_sync(limits)(row) == 200
    assert (site.fake.token_requests, reload(row).generation) == (1, 2)
    assert [one for one in caplog.records if one.name == "concurrent.futures"] == []


def test_out_of_patience_the_caller_is_told_to_come_back(
    site: Site, row: SalesforceConnection, settings: Any
) -> None:
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "TIMEOUTS": {"wait": 0.05}}

    with site.fake.hold() as held:
        with pytest.raises(TemporarilyUnavailable) as caught:
            async_to_sync(limits)(row)
        held.wait_for()
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "TIMEOUTS": {"wait": SOON}}

    assert (caught.value.code, caught.value.retry_after) == ("patience", 0.05)
    assert async_to_sync(limits)(row) == 200
    assert site.fake.token_requests == 1


def test_two_loops_in_two_threads_each_have_their_own_connections(site: Site, row: SalesforceConnection) -> None:
    rows = [reload(row) for _ in range(2)]
    gate = threading.Barrier(2)
    fared: list[int] = []

    async def calls(one: SalesforceConnection) -> None:
        gate.wait(SOON)
        for _ in range(3):
            fared.append(await limits(one))

    def loop(one: SalesforceConnection) -> None:
        try:
            async_to_sync(calls)(one)
        finally:
            database.close()

    threads = [threading.Thread(target=loop, args=[one]) for one in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)

    assert fared == [200] * 6
    assert site.fake.token_requests == 1


@pytest.mark.django_db
def test_tokens_of_another_that_have_run_out_since_are_renewed_too(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    long_held = SalesforceConnection.objects.get(pk=salesforce_connection.pk)
    salesforce_connection.refresh()
    fake_salesforce.expire_access_tokens()
    SalesforceConnection.objects.update(last_refreshed_at=timezone.now() - timedelta(hours=2))

    async def call() -> int:
        async with long_held.async_client() as client:
            return (await client.get("limits")).status_code

    assert async_to_sync(call)() == 200
    assert fake_salesforce.token_requests == 2


@pytest.mark.django_db
def test_what_this_copy_has_already_is_not_fetched_again(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    salesforce_connection.refresh()

    assert async_to_sync(salesforce_connection.arenew)(1)

    assert fake_salesforce.token_requests == 1
