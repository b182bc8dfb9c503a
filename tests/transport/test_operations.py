"""What is asked of the authorization host, and how its answers are read."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from dataclasses import replace

import pytest
import requests
from django.views.debug import ExceptionReporter
from requests_oauthlib import OAuth2Session

from django_sf_oauth import transport
from django_sf_oauth.conf import AppSettings
from django_sf_oauth.exceptions import ConfigurationError
from django_sf_oauth.protocol.errors import Actor, Refusal
from django_sf_oauth.protocol.tokens import TokenAnswer
from django_sf_oauth.transport.session import ExchangeSession

from .conftest import AppFor, Serve
from .server import (
    ACCESS,
    CODE,
    GRANTED,
    IMPATIENT,
    NEW_ACCESS,
    NEW_REFRESH,
    OLDER_SECRET,
    REFRESH,
    SECRET,
    SECRETS,
    VERIFIER,
    HostileServer,
    answer,
    json_answer,
    replying,
)

WRONG_SECRET = json_answer(400, {"error": "invalid_client", "error_description": "invalid client credentials"})
REVOKED = json_answer(400, {"error": "invalid_grant", "error_description": "expired access/refresh token"})
LOGIN = "https://login.salesforce.com"

Operation = Callable[[AppSettings, str], object]


def exchange(app: AppSettings, login_url: str) -> TokenAnswer | Refusal:
    return transport.exchange_code(
        app, login_url=login_url, code=CODE, code_verifier=VERIFIER, redirect_uri="https://site.example/cb"
    )


def refresh(app: AppSettings, login_url: str) -> TokenAnswer | Refusal:
    return transport.refresh(app, login_url=login_url, refresh_token=REFRESH)


def revoke(app: AppSettings, login_url: str) -> transport.Revoked | Refusal:
    return transport.revoke(app, login_url=login_url, token=REFRESH)


def userinfo(app: AppSettings, login_url: str) -> transport.Userinfo | Refusal:
    return transport.userinfo(app, login_url=login_url, access_token=ACCESS)


def introspect(app: AppSettings, login_url: str) -> transport.Introspection | Refusal:
    return transport.introspect(app, login_url=login_url, token=REFRESH, token_type_hint="refresh_token")


def session_to(server: HostileServer) -> ExchangeSession:
    return ExchangeSession(
        client_id="3MVG9.client", endpoint=server.url, connect=30, deadline=time.monotonic() + 30
    )


every_operation = pytest.mark.parametrize("operation", [exchange, refresh, revoke, userinfo, introspect])


def secrets_sent(server: HostileServer) -> list[str | None]:
    return [seen.form.get("client_secret", [None])[0] for seen in server.seen]


def test_code_is_exchanged_with_verifier_and_secret_in_the_body(serve: Serve, app_for: AppFor) -> None:
    server = serve(replying(json_answer(200, GRANTED)))

    outcome = exchange(app_for(server), server.url)

    assert isinstance(outcome, TokenAnswer)
    assert (outcome.access_token, outcome.refresh_token) == (NEW_ACCESS, NEW_REFRESH)
    [seen] = server.seen
    assert (seen.method, seen.path) == ("POST", "/services/oauth2/token")
    assert seen.form == {
        "grant_type": ["authorization_code"],
        "code": [CODE],
        "code_verifier": [VERIFIER],
        "redirect_uri": ["https://site.example/cb"],
        "client_id": ["3MVG9.client"],
        "client_secret": [SECRET],
        "format": ["json"],
    }
    assert seen.headers["accept"] == "application/json"
    assert "authorization" not in seen.headers


def test_refresh_sends_no_scope(serve: Serve, app_for: AppFor) -> None:
    server = serve(replying(json_answer(200, GRANTED)))

    outcome = refresh(app_for(server), server.url)

    assert isinstance(outcome, TokenAnswer)
    [seen] = server.seen
    assert (seen.method, seen.path) == ("POST", "/services/oauth2/token")
    assert seen.form == {
        "grant_type": ["refresh_token"],
        "refresh_token": [REFRESH],
        "client_id": ["3MVG9.client"],
        "client_secret": [SECRET],
        "format": ["json"],
    }
    assert seen.headers["accept"] == "application/json"


@pytest.mark.parametrize("operation", [exchange, refresh, introspect])
def test_public_client_sends_no_secret(operation: Operation, serve: Serve, app_for: AppFor) -> None:
    server = serve(replying(json_answer(200, GRANTED)))

    operation(app_for(server, client_secret=None), server.url)

    assert secrets_sent(server) == [None]
    assert server.seen[0].form["client_id"] == ["3MVG9.client"]


def test_answer_without_refresh_token_leaves_the_stored_one(serve: Serve, app_for: AppFor) -> None:
    content = {name: value for name, value in GRANTED.items() if name != "refresh_token"}
    server = serve(replying(json_answer(200, content)))

    outcome = refresh(app_for(server), server.url)

    assert isinstance(outcome, TokenAnswer)
    assert outcome.refresh_token is None


def test_scope_other_than_configured_raises_no_warning_with_tokens(serve: Serve, app_for: AppFor) -> None:
    server = serve(replying(json_answer(200, {**GRANTED, "scope": "id"})))

    outcome = exchange(app_for(server), server.url)

    assert isinstance(outcome, TokenAnswer)
    assert outcome.scopes == ("id",)


@pytest.mark.parametrize("operation", [exchange, refresh, introspect])
def test_older_secret_is_tried_only_after_the_newest_was_refused(
    operation: Operation, serve: Serve, app_for: AppFor
) -> None:
    server = serve(replying(WRONG_SECRET, json_answer(200, {**GRANTED, "active": True})))

    outcome = operation(app_for(server, client_secret=[SECRET, OLDER_SECRET, "third"]), server.url)

    assert not isinstance(outcome, Refusal)
    assert secrets_sent(server) == [SECRET, OLDER_SECRET]


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(json_answer(200, GRANTED), id="granted"),
        pytest.param(REVOKED, id="revoked"),
        pytest.param(json_answer(400, {"error": "invalid_client_id"}), id="wrong-key"),
        pytest.param(answer(500, b""), id="server-error"),
        pytest.param(json_answer(500, {"error": "invalid_client"}), id="wrong-secret-in-a-server-error"),
        pytest.param(answer(302, b""), id="redirect"),
    ],
)
def test_refresh_token_is_never_sent_with_a_second_secret_once_it_may_be_spent(
    reply: bytes, serve: Serve, app_for: AppFor
) -> None:
    server = serve(replying(reply))

    refresh(app_for(server, client_secret=[SECRET, OLDER_SECRET]), server.url)

    assert secrets_sent(server) == [SECRET]


def test_wrong_secrets_are_the_operators_affair(serve: Serve, app_for: AppFor) -> None:
    server = serve(replying(WRONG_SECRET))

    outcome = refresh(app_for(server, client_secret=[SECRET, OLDER_SECRET]), server.url)

    assert isinstance(outcome, Refusal)
    assert (outcome.actor, outcome.reason, outcome.answer_lost) == (Actor.OPERATOR, "invalid_client", False)
    assert secrets_sent(server) == [SECRET, OLDER_SECRET]


def test_secrets_share_one_deadline(serve: Serve, app_for: AppFor) -> None:
    def late(peer: object) -> None:
        server.closing.wait(IMPATIENT * 0.6)
        replying(WRONG_SECRET)(peer)  # type: ignore[arg-type]  # a Peer

    server = serve(late)

    outcome = refresh(
        app_for(server, client_secret=[SECRET, OLDER_SECRET, "third", "fourth"], total=IMPATIENT), server.url
    )

    assert isinstance(outcome, Refusal)
    assert outcome.reason == "timeout"
    assert secrets_sent(server) == [SECRET, OLDER_SECRET]


def test_revoked_grant_is_a_refusal_of_a_user(serve: Serve, app_for: AppFor) -> None:
    server = serve(replying(REVOKED))

    outcome = refresh(app_for(server), server.url)

    assert outcome == Refusal(actor=Actor.USER, reason="revoked", error="invalid_grant", status=400)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("7", 7.0, id="seconds"),
        pytest.param("Fri, 31 Dec 1999 23:59:59 GMT", 0.0, id="date"),
        pytest.param("soon", None, id="words"),
        pytest.param("9" * 5000, None, id="endless"),
        pytest.param("Fri, 31 Dec 999999999999 23:59:59 GMT", None, id="no-such-year"),
    ],
)
def test_retry_after_is_read_or_ignored(header: str, seconds: float | None, serve: Serve, app_for: AppFor) -> None:
    server = serve(replying(answer(503, b"<html>", "text/html", {"Retry-After": header})))

    outcome = refresh(app_for(server), server.url)

    assert isinstance(outcome, Refusal)
    assert (outcome.reason, outcome.retry_after) == ("server_error", seconds)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(answer(200, b"<html>Setting things up</html>", "text/html"), id="html"),
        pytest.param(answer(200, b""), id="empty"),
        pytest.param(answer(200, b"null"), id="null"),
        pytest.param(answer(200, b'{"access_token": '), id="truncated"),
        pytest.param(json_answer(200, [GRANTED]), id="array"),
        pytest.param(json_answer(200, {**GRANTED, "access_token": ""}), id="empty-token"),
        pytest.param(json_answer(200, {**GRANTED, "access_token": 7}), id="number-token"),
        pytest.param(json_answer(200, {**GRANTED, "access_token": [NEW_ACCESS]}), id="array-token"),
        pytest.param(json_answer(200, {**GRANTED, "refresh_token": {"a": 1}}), id="object-refresh-token"),
        pytest.param(json_answer(200, {**GRANTED, "access_token": "a\r\nX-Evil: 1"}), id="header-injection"),
        pytest.param(
            answer(200, f"access_token={NEW_ACCESS}&access_token=evil".encode(), "text/plain"), id="duplicate"
        ),
        pytest.param(answer(200, b'{"access_token": "a", "access_token": "b"}'), id="duplicate-json"),
        pytest.param(answer(200, b"\xff\xfe\x00\x00"), id="binary"),
        pytest.param(answer(200, b"[" * 100_000), id="deep"),
    ],
)
def test_hostile_answer_is_malformed_and_counts_as_lost(reply: bytes, serve: Serve, app_for: AppFor) -> None:
    server = serve(replying(reply))

    outcome = refresh(app_for(server), server.url)

    assert isinstance(outcome, Refusal)
    assert (outcome.actor, outcome.reason, outcome.answer_lost) == (Actor.NOBODY, "malformed_answer", True)
    assert len(server.seen) == 1


def test_empty_refresh_token_does_not_replace_the_stored_one(serve: Serve, app_for: AppFor) -> None:
    server = serve(replying(json_answer(200, {**GRANTED, "refresh_token": ""})))

    outcome = refresh(app_for(server), server.url)

    assert isinstance(outcome, TokenAnswer)
    assert outcome.refresh_token is None


def test_server_error_with_a_token_in_it_gives_nothing(serve: Serve, app_for: AppFor) -> None:
    server = serve(replying(json_answer(500, GRANTED)))

    outcome = refresh(app_for(server), server.url)

    assert isinstance(outcome, Refusal)
    assert (outcome.actor, outcome.reason, outcome.status) == (Actor.NOBODY, "server_error", 500)
    assert outcome.answer_lost
    assert NEW_ACCESS not in repr(outcome)


def test_no_cookie_comes_back(serve: Serve, app_for: AppFor) -> None:
    server = serve(replying(json_answer(200, GRANTED, {"Set-Cookie": "sid=1; Path=/"})))
    app = app_for(server)

    refresh(app, server.url)
    refresh(app, server.url)

    assert [seen.headers.get("cookie") for seen in server.seen] == [None, None]


def test_netrc_of_the_machine_does_not_replace_the_client(
    serve: Serve, app_for: AppFor, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = f"{tmp_path}/netrc"
    with open(netrc, "w", encoding="ascii") as file:
        file.write("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", netrc)
    server = serve(replying(json_answer(200, GRANTED)))

    refresh(app_for(server), server.url)
    revoke(app_for(server), server.url)

    assert [seen.headers.get("authorization") for seen in server.seen] == [None, None]


def test_revocation_sends_the_token_alone_in_the_body(serve: Serve, app_for: AppFor) -> None:
    server = serve(replying(answer(200, b"")))

    outcome = revoke(app_for(server), server.url)

    assert outcome == transport.Revoked(already=False)
    [seen] = server.seen
    assert (seen.method, seen.path, seen.form) == ("POST", "/services/oauth2/revoke", {"token": [REFRESH]})


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(json_answer(400, {"error": "invalid_token"}), id="json"),
        pytest.param(
            answer(400, b"error=invalid_token&error_description=x", "application/x-www-form-urlencoded"),
            id="form-encoded",
        ),
    ],
)
def test_revocation_of_a_dead_token_is_done(reply: bytes, serve: Serve, app_for: AppFor) -> None:
    server = serve(replying(reply))

    outcome = revoke(app_for(server), server.url)

    assert outcome == transport.Revoked(already=True)


def test_revocation_at_the_wrong_host_is_the_operators_affair(serve: Serve, app_for: AppFor) -> None:
    server = serve(replying(answer(404, b"Bad_Id", "text/plain")))

    outcome = revoke(app_for(server), server.url)

    assert isinstance(outcome, Refusal)
    assert (outcome.actor, outcome.reason) == (Actor.OPERATOR, "wrong_host")


def test_userinfo_names_the_user(serve: Serve, app_for: AppFor) -> None:
    content = {
        "organization_id": "00D000000000001",
        "user_id": "005000000000001AAA",
        "preferred_username": "ada@acme.example",
        "name": "Ada",
        "email": "ada@example.org",
    }
    server = serve(replying(json_answer(200, content)))

    outcome = userinfo(app_for(server), server.url)

    assert outcome == transport.Userinfo(
        organization_id="00D000000000001EAA",
        user_id="005000000000001AAA",
        username="ada@acme.example",
        name="Ada",
        email="ada@example.org",
    )
    [seen] = server.seen
    assert (seen.method, seen.path) == ("GET", "/services/oauth2/userinfo")
    assert seen.headers["authorization"] == f"Bearer {ACCESS}"


@pytest.mark.parametrize(
    ("reply", "actor", "reason"),
    [
        pytest.param(answer(403, b"Bad_OAuth_Token", "text/plain"), Actor.NOBODY, "session_expired", id="expired"),
        pytest.param(answer(403, b"no", "text/plain"), Actor.UNKNOWN, "forbidden", id="forbidden"),
        pytest.param(
            json_answer(
                401,
                [
                    {
                        "message": "This session is not valid for use with the REST API",
                        "errorCode": "INVALID_SESSION_ID",
                    }
                ],
            ),
            Actor.UNKNOWN,
            "not_refreshable",
            id="not-refreshable",
        ),
        pytest.param(
            json_answer(403, [{"errorCode": "REQUEST_LIMIT_EXCEEDED"}]),
            Actor.NOBODY,
            "rate_limited",
            id="limit",
        ),
        pytest.param(answer(503, b"<html>", "text/html"), Actor.NOBODY, "server_error", id="server-error"),
        pytest.param(answer(200, b"<html>", "text/html"), Actor.NOBODY, "malformed_answer", id="html"),
        pytest.param(
            json_answer(200, {"organization_id": 7, "user_id": "005000000000001AAA"}),
            Actor.NOBODY,
            "malformed_answer",
            id="no-id",
        ),
    ],
)
def test_userinfo_that_names_nobody_is_refused(
    reply: bytes, actor: Actor, reason: str, serve: Serve, app_for: AppFor
) -> None:
    server = serve(replying(reply))

    outcome = userinfo(app_for(server), server.url)

    assert isinstance(outcome, Refusal)
    assert (outcome.actor, outcome.reason) == (actor, reason)


def test_header_injection_through_a_stored_token_is_not_sent(serve: Serve, app_for: AppFor) -> None:
    server = serve(replying(json_answer(200, {})))

    outcome = transport.userinfo(app_for(server), login_url=server.url, access_token=f"{ACCESS}\r\nX-Evil: 1")

    assert isinstance(outcome, Refusal)
    assert (outcome.answer_lost, server.connections) == (False, 0)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(
            {"active": True, "exp": 1700003600, "iat": 1700000000, "scope": "api id", "username": "ada"},
            transport.Introspection(
                active=True, exp=1700003600, iat=1700000000, scopes=("api", "id"), username="ada"
            ),
            id="alive",
        ),
        pytest.param({"active": False}, transport.Introspection(active=False), id="dead"),
        pytest.param(
            {"active": True, "exp": "soon", "iat": True, "scope": 7},
            transport.Introspection(active=True),
            id="odd-types",
        ),
        pytest.param(
            {"active": True, "exp": 10**30, "iat": -1}, transport.Introspection(active=True), id="odd-times"
        ),
    ],
)
def test_introspection_tells_whether_a_token_lives(
    content: object, expected: object, serve: Serve, app_for: AppFor
) -> None:
    server = serve(replying(json_answer(200, content)))

    outcome = introspect(app_for(server), server.url)

    assert outcome == expected
    [seen] = server.seen
    assert (seen.method, seen.path) == ("POST", "/services/oauth2/introspect")
    assert seen.form == {
        "token": [REFRESH],
        "token_type_hint": ["refresh_token"],
        "client_id": ["3MVG9.client"],
        "client_secret": [SECRET],
    }


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        pytest.param(json_answer(200, {"active": "yes"}), "malformed_answer", id="no-boolean"),
        pytest.param(answer(200, b"null"), "malformed_answer", id="null"),
        pytest.param(json_answer(500, {"active": True}), "server_error", id="server-error"),
        pytest.param(WRONG_SECRET, "invalid_client", id="wrong-secret"),
    ],
)
def test_introspection_without_a_clear_answer_is_refused(
    reply: bytes, reason: str, serve: Serve, app_for: AppFor
) -> None:
    server = serve(replying(reply))

    outcome = introspect(app_for(server), server.url)

    assert isinstance(outcome, Refusal)
    assert outcome.reason == reason


@every_operation
@pytest.mark.parametrize(
    "login_url",
    [
        "https://evil.example",
        "https://login.salesforce.com.evil.example",
        "https://login.salesforce.com@evil.example",
        "http://login.salesforce.com",
        "http://127.0.0.1:9",
        "https://login.salesforce.com/?x=",
        "https://login.salesforce.com/#",
        "",
    ],
)
def test_secret_goes_to_no_untrusted_host(operation: Operation, login_url: str, app_for: AppFor) -> None:
    with pytest.raises(ConfigurationError) as raised:
        operation(app_for(), login_url)

    assert raised.value.code == "untrusted_host"


@every_operation
def test_error_page_of_an_exception_shows_no_secret(operation: Operation, app_for: AppFor) -> None:
    with pytest.raises(ConfigurationError) as raised:
        operation(app_for(), "https://evil.example")

    # Without the frames of this test, which name the secrets.
    frames = raised.value.__traceback__
    while frames and "tests" in frames.tb_frame.f_code.co_filename:
        frames = frames.tb_next
    reporter = ExceptionReporter(None, ConfigurationError, raised.value, frames)
    rendered = traceback.format_exception(raised.value)
    shown = "".join([reporter.get_traceback_text(), reporter.get_traceback_html(), *rendered])
    assert "in asked" in shown
    assert [secret for secret in SECRETS if secret in shown] == []
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


def test_site_below_a_path_keeps_its_path(serve: Serve, app_for: AppFor) -> None:
    server = serve(replying(json_answer(200, GRANTED)))

    refresh(app_for(server), f"{server.url}/customers/")

    assert server.seen[0].path == "/customers/services/oauth2/token"


def test_environment_of_oauthlib_is_left_alone(
    serve: Serve, app_for: AppFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OAUTHLIB_INSECURE_TRANSPORT", raising=False)
    server = serve(replying(json_answer(200, GRANTED)))

    outcome = refresh(app_for(server), server.url)

    assert isinstance(outcome, TokenAnswer)
    assert "OAUTHLIB_INSECURE_TRANSPORT" not in os.environ


@pytest.mark.parametrize("value", ["0", "1"])
def test_insecure_transport_of_the_environment_opens_no_plain_http(
    value: str, app_for: AppFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", value)

    with pytest.raises(ConfigurationError):
        refresh(app_for(), "http://login.salesforce.com")


def test_answer_that_came_is_not_lost_to_a_library_that_fails_afterwards(
    serve: Serve, app_for: AppFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: OAuth2Session, *args: object, **kwargs: object) -> None:
        self.post("https://anywhere.example")
        raise RuntimeError(REFRESH)

    monkeypatch.setattr(OAuth2Session, "fetch_token", fail)
    server = serve(replying(json_answer(200, GRANTED)))

    outcome = exchange(app_for(server), server.url)

    assert isinstance(outcome, TokenAnswer)
    assert len(server.seen) == 1


def test_library_that_sends_nothing_spends_nothing(
    serve: Serve, app_for: AppFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OAuth2Session, "fetch_token", lambda *args, **kwargs: None)
    server = serve(replying(json_answer(200, GRANTED)))

    outcome = exchange(app_for(server), server.url)

    assert isinstance(outcome, Refusal)
    assert (outcome.reason, outcome.answer_lost) == ("connection", False)
    assert server.seen == []


def test_session_sends_only_to_its_own_endpoint(serve: Serve) -> None:
    server, other = serve(replying(answer(200, b""))), serve(replying(answer(200, b"")))
    session = session_to(server)

    session.run(lambda session: session.get(other.url.replace("http:", "https:")))

    assert (len(server.seen), other.connections) == (1, 0)


def test_token_requests_of_the_library_are_logged_without_what_they_hold(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(replying(json_answer(200, GRANTED)))

    session_to(server).run(lambda session: session.refresh_token(session.url, refresh_token=REFRESH))

    messages = [r.getMessage() for r in caplog.records if r.name == "requests_oauthlib.oauth2_session"]
    assert "Prepared refresh token request body •••" in messages


def test_secret_source_is_asked_each_time(serve: Serve, app_for: AppFor) -> None:
    server = serve(replying(json_answer(200, GRANTED)))
    source = iter([SECRET, OLDER_SECRET])
    app = replace(app_for(server), client_secret=lambda: next(source))

    refresh(app, server.url)
    refresh(app, server.url)

    assert secrets_sent(server) == [SECRET, OLDER_SECRET]


def test_library_learns_no_new_token(serve: Serve) -> None:
    server = serve(replying(json_answer(200, GRANTED)))
    learnt: list[dict[str, str]] = []

    session_to(server).run(
        lambda session: learnt.append(session.refresh_token(session.url, refresh_token=REFRESH))
    )

    assert learnt == [{"refresh_token": REFRESH}]


def test_response_given_to_the_library_is_empty(serve: Serve) -> None:
    server = serve(replying(json_answer(200, GRANTED)))
    session = session_to(server)
    given: list[requests.Response] = []

    session.run(lambda session: given.append(session.get(session.url)))

    assert (given[0].text, dict(given[0].headers), given[0].request.url) == ("", {}, None)
