"""Faults of the network: each ends in bounded time, in one request, and says whether the token may be spent."""

from __future__ import annotations

import gzip
import socket
import ssl
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from urllib3.exceptions import MaxRetryError, NewConnectionError

from django_sf_oauth import transport
from django_sf_oauth.adapters import use_adapter
from django_sf_oauth.conf import AppSettings, Timeouts
from django_sf_oauth.protocol.errors import Actor, Refusal
from django_sf_oauth.protocol.tokens import TokenAnswer

from .conftest import AppFor, Serve
from .server import (
    GRANTED,
    IMPATIENT,
    NEW_ACCESS,
    REFRESH,
    SECRETS,
    Behaviour,
    Peer,
    answer,
    json_answer,
    replying,
)


def refused(outcome: object) -> Refusal:
    assert isinstance(outcome, Refusal)
    assert not any(secret in repr(outcome) for secret in SECRETS)
    return outcome


def drip_in_headers(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    peer.drip(b"x")


def drip_in_status_line(peer: Peer) -> None:
    peer.drip(b"H")


def drip_in_body(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    peer.drip(b" ")


def drip_in_chunks(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    peer.drip(b"1\r\n \r\n")


def drip_of_interim_answers(peer: Peer) -> None:
    peer.drip(b"HTTP/1.1 100 Continue\r\n\r\n")


def last_piece_too_late(peer: Peer) -> None:
    whole = json_answer(200, GRANTED)
    peer.closing.wait(IMPATIENT * 0.6)
    peer.send(whole[:-20])
    peer.closing.wait(IMPATIENT * 0.6)
    peer.send(whole[-20:])


def hang_before_the_answer(peer: Peer) -> None:
    peer.hang()


def hang_in_the_body(peer: Peer) -> None:
    peer.send(json_answer(200, GRANTED)[:-20])
    peer.hang()


def reset_before_the_answer(peer: Peer) -> None:
    peer.reset()


def close_before_the_answer(peer: Peer) -> None:
    peer.sock.shutdown(socket.SHUT_RDWR)


def reset_in_the_body(peer: Peer) -> None:
    peer.send(json_answer(200, GRANTED)[:-20])
    peer.reset()


def close_in_the_body(peer: Peer) -> None:
    peer.send(json_answer(200, GRANTED)[:-20])
    peer.sock.shutdown(socket.SHUT_RDWR)


def no_http(peer: Peer) -> None:
    peer.send(b"220 smtp.example.com ESMTP\r\n")
    peer.sock.shutdown(socket.SHUT_RDWR)


def broken_gzip(peer: Peer) -> None:
    peer.send(answer(200, b"this is not gzip", headers={"Content-Encoding": "gzip"}))


@pytest.mark.parametrize(
    "behaviour",
    [
        drip_in_status_line,
        drip_in_headers,
        drip_in_body,
        drip_in_chunks,
        drip_of_interim_answers,
        last_piece_too_late,
        hang_before_the_answer,
        hang_in_the_body,
    ],
)
def test_slow_answer_ends_at_the_deadline(behaviour: Behaviour, serve: Serve, app_for: AppFor) -> None:
    server = serve(behaviour)
    app = app_for(server, total=IMPATIENT)

    outcome = refused(transport.refresh(app, login_url=server.url, refresh_token=REFRESH))

    assert (outcome.actor, outcome.reason, outcome.answer_lost) == (Actor.NOBODY, "timeout", True)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "behaviour",
    [
        reset_before_the_answer,
        close_before_the_answer,
        reset_in_the_body,
        close_in_the_body,
        no_http,
        broken_gzip,
    ],
)
def test_broken_answer_is_lost_and_the_request_never_sent_again(
    behaviour: Behaviour, serve: Serve, app_for: AppFor
) -> None:
    server = serve(behaviour)

    outcome = refused(transport.refresh(app_for(server), login_url=server.url, refresh_token=REFRESH))

    assert (outcome.actor, outcome.reason, outcome.answer_lost) == (Actor.NOBODY, "connection", True)
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308])
def test_redirect_takes_the_secret_and_the_refresh_token_nowhere(
    status: int, serve: Serve, app_for: AppFor
) -> None:
    thief = serve(replying(json_answer(200, GRANTED)))
    server = serve(replying(answer(status, b"", headers={"Location": f"{thief.url}/services/oauth2/token"})))

    outcome = refused(transport.refresh(app_for(server), login_url=server.url, refresh_token=REFRESH))

    assert (outcome.reason, outcome.status, outcome.answer_lost) == ("redirect", status, True)
    assert (len(server.seen), thief.connections) == (1, 0)


@pytest.mark.parametrize("operation", ["exchange_code", "revoke", "userinfo", "introspect"])
def test_no_operation_follows_a_redirect(operation: str, serve: Serve, app_for: AppFor) -> None:
    thief = serve(replying(json_answer(200, GRANTED)))
    server = serve(replying(answer(307, b"", headers={"Location": thief.url})))
    app = app_for(server)
    operations: dict[str, Callable[[], object]] = {
        "exchange_code": lambda: transport.exchange_code(
            app, login_url=server.url, code=REFRESH, code_verifier=REFRESH, redirect_uri="https://site/cb"
        ),
        "revoke": lambda: transport.revoke(app, login_url=server.url, token=REFRESH),
        "userinfo": lambda: transport.userinfo(app, login_url=server.url, access_token=REFRESH),
        "introspect": lambda: transport.introspect(
            app, login_url=server.url, token=REFRESH, token_type_hint="refresh_token"
        ),
    }

    outcome = refused(operations[operation]())

    assert outcome.reason == "redirect"
    assert (len(server.seen), thief.connections) == (1, 0)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(b"x" * (256 * 1024 + 1), {}, id="plain"),
        pytest.param(gzip.compress(bytes(50_000_000)), {"Content-Encoding": "gzip"}, id="gzip-bomb"),
        pytest.param(
            gzip.compress(gzip.compress(bytes(50_000_000))),
            {"Content-Encoding": "gzip, gzip"},
            id="gzip-bomb-in-gzip",
        ),
    ],
)
def test_huge_answer_is_cut_off(body: bytes, headers: dict[str, str], serve: Serve, app_for: AppFor) -> None:
    server = serve(replying(answer(200, body, headers=headers)))
    app = app_for(server)
    tracemalloc.start()

    outcome = refused(transport.refresh(app, login_url=server.url, refresh_token=REFRESH))

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (outcome.reason, outcome.status, outcome.answer_lost) == ("too_large", 200, True)
    assert len(server.seen) == 1
    assert peak < 4_000_000


def test_compressed_answer_is_read_although_none_was_asked_for(serve: Serve, app_for: AppFor) -> None:
    body = gzip.compress(json_answer(200, GRANTED).partition(b"\r\n\r\n")[2])
    server = serve(replying(answer(200, body, headers={"Content-Encoding": "gzip"})))

    outcome = transport.refresh(app_for(server), login_url=server.url, refresh_token=REFRESH)

    assert isinstance(outcome, TokenAnswer)
    assert server.seen[0].headers["accept-encoding"] == "identity"


def test_connection_refused_spends_nothing(app_for: AppFor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        host = f"127.0.0.1:{gone.getsockname()[1]}"
    app = replace(app_for(), trusted_hosts=(host,))

    outcome = refused(transport.refresh(app, login_url=f"http://{host}", refresh_token=REFRESH))

    assert (outcome.actor, outcome.reason, outcome.answer_lost) == (Actor.NOBODY, "connection", False)


def test_unknown_host_spends_nothing(app_for: AppFor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    outcome = refused(
        transport.refresh(app_for(), login_url="https://acme.my.salesforce.com", refresh_token=REFRESH)
    )

    assert (outcome.reason, outcome.answer_lost) == ("connection", False)


def test_host_that_does_not_answer_the_connection_spends_nothing(app_for: AppFor) -> None:
    with ExitStack() as stack:
        # Linux lets one more than the backlog wait, and drops what comes then.
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        host = f"127.0.0.1:{full.getsockname()[1]}"
        app = replace(app_for(connect=0.2), trusted_hosts=(host,))

        outcome = refused(transport.refresh(app, login_url=f"http://{host}", refresh_token=REFRESH))

    assert (outcome.reason, outcome.answer_lost) == ("timeout", False)


def test_untrusted_certificate_spends_nothing(serve: Serve, app_for: AppFor, tls: ssl.SSLContext) -> None:
    server = serve(replying(json_answer(200, GRANTED)), tls)

    outcome = refused(transport.refresh(app_for(server), login_url=server.url, refresh_token=REFRESH))

    assert (outcome.actor, outcome.reason, outcome.answer_lost) == (Actor.NOBODY, "connection", False)
    assert server.seen == []


def test_handshake_that_never_ends_spends_nothing(app_for: AppFor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        app = replace(app_for(connect=0.2), trusted_hosts=(host,))

        outcome = refused(transport.refresh(app, login_url=f"https://{host}", refresh_token=REFRESH))

    assert (outcome.reason, outcome.answer_lost) == ("timeout", False)


def test_trusted_certificate_is_read_from_requests_ca_bundle(
    serve: Serve,
    app_for: AppFor,
    tls: ssl.SSLContext,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    server = serve(replying(json_answer(200, GRANTED)), tls)

    outcome = transport.refresh(app_for(server), login_url=server.url, refresh_token=REFRESH)

    assert isinstance(outcome, TokenAnswer)
    assert outcome.access_token == NEW_ACCESS


@pytest.mark.parametrize("behaviour", [drip_in_headers, drip_in_body, hang_before_the_answer])
def test_slow_answer_over_tls_ends_at_the_deadline(
    behaviour: Behaviour,
    serve: Serve,
    app_for: AppFor,
    tls: ssl.SSLContext,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    server = serve(behaviour, tls)

    outcome = refused(
        transport.refresh(app_for(server, total=IMPATIENT), login_url=server.url, refresh_token=REFRESH)
    )

    assert (outcome.reason, outcome.answer_lost) == ("timeout", True)
    assert len(server.seen) == 1


def test_missing_ca_bundle_is_a_refusal_that_spends_nothing(
    serve: Serve, app_for: AppFor, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/bundle.pem")
    server = serve(replying(json_answer(200, GRANTED)), tls)

    outcome = refused(transport.refresh(app_for(server), login_url=server.url, refresh_token=REFRESH))

    assert (outcome.reason, outcome.answer_lost, server.connections) == ("connection", False, 0)


def test_deadline_that_passed_while_connecting_sends_nothing(
    serve: Serve, app_for: AppFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(replying(json_answer(200, GRANTED)))
    slow = socket.getaddrinfo

    def resolve(*args: object) -> object:
        server.closing.wait(0.25)
        return slow(*args)  # type: ignore[arg-type]  # whatever urllib3 passes

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    outcome = refused(transport.refresh(app_for(server, total=0.2), login_url=server.url, refresh_token=REFRESH))

    assert (outcome.reason, outcome.answer_lost, server.seen) == ("timeout", False, [])


def test_deadline_that_passed_before_the_first_step_sends_nothing(app_for: AppFor) -> None:
    app = app_for(total=1e-9)

    with use_adapter(Failing(requests.ReadTimeout("x"))):
        outcome = refused(transport.refresh(app, login_url="https://login.salesforce.com", refresh_token=REFRESH))

    assert (outcome.reason, outcome.answer_lost) == ("timeout", False)


class Failing(requests.adapters.BaseAdapter):
    """An adapter that is not ours, such as a fake, which cannot tell how far a request came."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def send(self, request: requests.PreparedRequest, *args: object, **kwargs: object) -> requests.Response:
        # Like those of requests, the error carries the request, and that the refresh token.
        self.error.request = request  # type: ignore[attr-defined]  # added by requests to its own
        raise self.error


REFUSED = NewConnectionError(None, "refused")  # type: ignore[arg-type]  # a connection, for its text only


@pytest.mark.parametrize(
    ("error", "reason", "lost"),
    [
        pytest.param(requests.ReadTimeout("x"), "timeout", True, id="read-timeout"),
        pytest.param(requests.ConnectTimeout("x"), "timeout", False, id="connect-timeout"),
        pytest.param(requests.ConnectionError("x"), "connection", True, id="connection"),
        pytest.param(requests.ConnectionError(), "connection", True, id="connection-without-text"),
        pytest.param(
            requests.ConnectionError(MaxRetryError(None, "/", REFUSED)),  # type: ignore[arg-type]  # no pool
            "connection",
            False,
            id="refused",
        ),
        pytest.param(RuntimeError("not even of requests"), "connection", True, id="bug"),
    ],
)
def test_adapter_of_somebody_else_is_believed_only_about_connecting(
    error: Exception, reason: str, lost: bool, app_for: AppFor
) -> None:
    with use_adapter(Failing(error)):
        outcome = refused(
            transport.refresh(app_for(), login_url="https://login.salesforce.com", refresh_token=REFRESH)
        )

    assert (outcome.reason, outcome.answer_lost) == (reason, lost)


def test_failure_is_logged_with_its_cause_and_nothing_else(
    app_for: AppFor, caplog: pytest.LogCaptureFixture
) -> None:
    with use_adapter(Failing(requests.ConnectionError(REFRESH))):
        transport.refresh(app_for(), login_url="https://login.salesforce.com", refresh_token=REFRESH)

    messages = [r.getMessage() for r in caplog.records if r.name.startswith("django_sf_oauth")]
    assert messages == ["host=login.salesforce.com reason=connection cause=ConnectionError"]


def test_lost_answer_is_told_apart_on_a_connection_that_is_used_again(serve: Serve, app_for: AppFor) -> None:
    behaviours = [replying(json_answer(200, GRANTED)), reset_before_the_answer]
    server = serve(lambda peer: behaviours.pop(0)(peer))
    app = app_for(server)

    first = transport.refresh(app, login_url=server.url, refresh_token=REFRESH)
    second = refused(transport.refresh(app, login_url=server.url, refresh_token=REFRESH))

    assert isinstance(first, TokenAnswer)
    assert (second.reason, second.answer_lost) == ("connection", True)
    assert (len(server.seen), server.connections) == (2, 1)


def test_http_proxy_of_the_environment_is_used(
    serve: Serve, app_for: AppFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(replying(json_answer(200, GRANTED)))
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    app = AppSettings(
        alias="default", client_id="x", trusted_hosts=("127.0.0.1:1",), timeouts=Timeouts(connect=30, total=30)
    )

    outcome = transport.refresh(app, login_url="http://127.0.0.1:1", refresh_token=REFRESH)

    assert isinstance(outcome, TokenAnswer)
    assert proxy.seen[0].path == "http://127.0.0.1:1/services/oauth2/token"


def test_proxy_that_refuses_the_tunnel_spends_nothing(
    serve: Serve, app_for: AppFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(replying(answer(403, b"")))
    monkeypatch.setenv("https_proxy", proxy.url)

    outcome = refused(
        transport.refresh(app_for(), login_url="https://login.salesforce.com", refresh_token=REFRESH)
    )

    assert (outcome.reason, outcome.answer_lost) == ("connection", False)
    assert [seen.method for seen in proxy.seen] == ["CONNECT"]
