"""Trouble at the token endpoint: nothing is lost by it, and the next refresh works."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
from typing import Any

import pytest

from django_sf_oauth.exceptions import ReconnectRequired, TemporarilyUnavailable
from django_sf_oauth.models import ConnectionEvent, SalesforceConnection
from tests.races.site import Site, reload
from tests.transport.conftest import certificate, tls  # noqa: F401  # fixtures
from tests.transport.server import GRANTED, Behaviour, Peer, json_answer, replying, serving

pytestmark = pytest.mark.django_db(transaction=True)

Row = SalesforceConnection

JSON = "application/json"
LEAKED = "00D000000000001!a-token-that-the-host-should-not-have-shown"
IMPATIENT = {"connect": 1, "total": 1, "wait": 30}  # seconds

ANSWERS: dict[str, tuple[dict[str, Any], str]] = {
    "429": ({"status": 429, "headers": {"Retry-After": "3600"}}, "rate_limited"),
    "503 HTML": ({"status": 503, "body": "<html><h1>Service Unavailable</h1></html>"}, "server_error"),
    "500 with a token": (
        {"status": 500, "body": json.dumps({"access_token": LEAKED}), "content_type": JSON},
        "server_error",
    ),
    "400 with a token": ({"status": 400, "body": json.dumps({"error": LEAKED}), "content_type": JSON}, "unknown"),
    "empty": ({"status": 200, "body": "", "content_type": JSON}, "malformed_answer"),
    "null": ({"status": 200, "body": "null", "content_type": JSON}, "malformed_answer"),
    "200 HTML": ({"status": 200, "body": "<html>Log in</html>"}, "malformed_answer"),
    "gzip bomb": (
        {"status": 200, "body": gzip.compress(bytes(50_000_000)), "headers": {"Content-Encoding": "gzip"}},
        "too_large",
    ),
}


def assert_nothing_lost(row: Row) -> None:
    stored = reload(row)
    assert (stored.status, stored.generation, stored.refresh_token) == ("active", 1, row.refresh_token)
    assert ConnectionEvent.objects.count() == 0


def assert_recovered(row: Row) -> None:
    stored = reload(row)
    assert (stored.status, stored.generation) == ("active", 2)
    assert (stored.in_doubt_since, stored.failure_count, stored.backoff_step) == (None, 0, 0)
    assert ConnectionEvent.objects.count() == 0


@pytest.mark.parametrize(("answer", "code"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_without_tokens_loses_nothing(site: Site, row: Row, answer: dict[str, Any], code: str) -> None:
    site.fake.fail_next(**answer)
    with site.workers(row, processes=1, threads=1) as (worker,):
        worker.go()
        assert worker.fared() == [code]
        assert_nothing_lost(row)
        assert site.fake.token_requests == 1
        worker.refresh()
        assert worker.fared() == ["2"]

    assert_recovered(row)
    assert site.fake.token_requests == 2
    assert LEAKED not in "".join(site.said)


def test_retry_after_is_obeyed(site: Site, row: Row) -> None:
    site.fake.fail_next(status=429, headers={"Retry-After": "3600"})

    with site.workers(row, processes=1, threads=1) as (worker,):
        worker.go()
        assert worker.fared() == ["rate_limited"]

    with pytest.raises(TemporarilyUnavailable) as caught:
        reload(row).renew(1)
    assert caught.value.code == "backing_off"
    assert caught.value.retry_after is not None
    assert 3500 < caught.value.retry_after <= 3600


# Hosts


def drip(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    peer.drip(b" ")


def hang(peer: Peer) -> None:
    peer.hang()


def reset(peer: Peer) -> None:
    peer.reset()


def trust(settings: Any, url: str, **timeouts: float) -> None:
    ours = settings.SALESFORCE_OAUTH
    settings.SALESFORCE_OAUTH = {
        **ours,
        "TRUSTED_HOSTS": [*ours["TRUSTED_HOSTS"], url.partition("://")[2]],
        "TIMEOUTS": {**ours["TIMEOUTS"], **timeouts},
    }


def fared_there_and_back(site: Site, row: Row, url: str) -> str:
    """How a worker fares with a host in trouble; back at the fake, its next refresh goes well."""
    SalesforceConnection.objects.update(login_url=url)
    with site.workers(row, processes=1, threads=1) as (worker,):
        worker.go()
        (code,) = worker.fared()
        assert_nothing_lost(row)
        SalesforceConnection.objects.update(login_url=site.origin)
        worker.refresh()
        assert worker.fared() == ["2"]
    assert_recovered(row)
    assert site.asked == {"ok": 1}
    return code


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [(drip, "timeout"), (hang, "timeout"), (reset, "connection")],
    ids=["drip", "hang", "reset"],
)
def test_an_answer_that_does_not_come_loses_nothing(
    site: Site, row: Row, settings: Any, behaviour: Behaviour, code: str
) -> None:
    with serving(behaviour) as server:
        trust(settings, server.url, **IMPATIENT)

        assert fared_there_and_back(site, row, server.url) == code

        assert len(server.seen) == 1


@pytest.mark.parametrize("status", [302, 307, 308])
def test_a_redirect_takes_nothing_elsewhere_and_loses_nothing(
    site: Site, row: Row, settings: Any, status: int
) -> None:
    with serving(replying(json_answer(200, GRANTED))) as thief:
        to_the_thief = json_answer(status, {}, headers={"Location": f"{thief.url}/services/oauth2/token"})
        with serving(replying(to_the_thief)) as server:
            trust(settings, server.url)
            trust(settings, thief.url)

            assert fared_there_and_back(site, row, server.url) == "redirect"

            assert (len(server.seen), thief.connections) == (1, 0)


def test_a_refused_connection_loses_nothing(site: Site, row: Row, settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    trust(settings, url)

    assert fared_there_and_back(site, row, url) == "connection"


def test_a_certificate_that_nobody_vouches_for_loses_nothing(
    site: Site,
    row: Row,
    settings: Any,
    tls: ssl.SSLContext,  # noqa: F811  # the fixture
) -> None:
    with serving(replying(json_answer(200, GRANTED)), tls) as server:
        trust(settings, server.url)

        assert fared_there_and_back(site, row, server.url) == "connection"

        assert (server.connections, server.seen) == (1, [])


# Lost answers


def test_an_answer_lost_on_the_wire_is_called_a_lost_rotation(site: Site, row: Row) -> None:
    site.fake.lose_answer()
    with site.workers(row, processes=1, threads=1) as (worker,):
        worker.go()
        assert worker.fared() == ["connection"]
        assert_nothing_lost(row)
        worker.refresh()
        assert worker.fared() == ["rotation_lost"]

    with pytest.raises(ReconnectRequired):
        reload(row).bearer()
    assert [event.reason for event in ConnectionEvent.objects.all()] == ["rotation_lost"]
    assert site.asked == {"lost": 1, "invalid_grant": 1}


def test_without_rotation_an_answer_lost_on_the_wire_loses_nothing(site: Site, row: Row) -> None:
    site.fake.rotation = False
    site.fake.lose_answer()
    with site.workers(row, processes=1, threads=1) as (worker,):
        worker.go()
        assert worker.fared() == ["connection"]
        worker.refresh()
        assert worker.fared() == ["2"]

    assert_recovered(row)
    assert site.asked == {"lost": 1, "ok": 1}
