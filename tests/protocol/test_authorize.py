from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest

from django_sf_oauth.protocol.authorize import (
    LONGEST_VALUE,
    AuthorizationRequest,
    CallbackCode,
    CallbackError,
    CallbackMalformed,
    code_challenge,
    read_callback,
)

REQUEST = AuthorizationRequest(
    login_url="https://login.salesforce.com",
    client_id="3MVG9.client",
    redirect_uri="https://site.example/salesforce/callback/?a=b&c",
    scopes=("api", "refresh_token"),
    state="state-of-the-tests",
    code_challenge="challenge-of-the-tests",
)
TOO_LONG = "a" * (LONGEST_VALUE + 1)
LEAST = [
    ("response_type", "code"),
    ("client_id", "3MVG9.client"),
    ("redirect_uri", "https://site.example/salesforce/callback/?a=b&c"),
    ("scope", "api refresh_token"),
    ("state", "state-of-the-tests"),
    ("code_challenge", "challenge-of-the-tests"),
    ("code_challenge_method", "S256"),
]


def test_the_challenge_is_that_of_rfc_7636_appendix_b() -> None:
    challenge = code_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")

    assert challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_the_request_sends_what_it_has_and_nothing_empty() -> None:
    url = urlsplit(REQUEST.url())

    assert (url.scheme, url.netloc, url.path) == ("https", "login.salesforce.com", "/services/oauth2/authorize")
    assert parse_qsl(url.query, keep_blank_values=True) == LEAST


def test_the_request_can_send_every_documented_parameter() -> None:
    request = replace(
        REQUEST,
        prompt="login consent",
        login_hint="zoë@acme.example",
        display="popup",
        nonce="nonce-of-the-tests",
        immediate=True,
    )

    assert parse_qsl(urlsplit(request.url()).query) == [
        *LEAST,
        ("prompt", "login consent"),
        ("login_hint", "zoë@acme.example"),
        ("display", "popup"),
        ("nonce", "nonce-of-the-tests"),
        ("immediate", "true"),
    ]


def test_without_scopes_the_app_decides() -> None:
    query = dict(parse_qsl(urlsplit(replace(REQUEST, scopes=()).url()).query, keep_blank_values=True))

    assert "scope" not in query


def test_a_fake_on_the_loopback_address_may_speak_plain_http() -> None:
    url = replace(REQUEST, login_url="http://127.0.0.1:8001").url()

    assert url.startswith("http://127.0.0.1:8001/services/oauth2/authorize?response_type=code&")


def test_a_value_cannot_smuggle_in_a_parameter() -> None:
    request = replace(REQUEST, login_hint="x&redirect_uri=https://evil.com#")

    assert [name for name, _ in parse_qsl(urlsplit(request.url()).query)].count("redirect_uri") == 1


def test_no_repr_shows_state_challenge_nonce_or_code() -> None:
    shown = repr(replace(REQUEST, nonce="nonce-of-the-tests"))
    shown += repr(CallbackCode(code="code-of-the-tests", state="state-of-the-tests"))
    shown += repr(CallbackError(error="x", description="words-of-the-tests", state="state-of-the-tests"))

    assert "of-the-tests" not in shown


def test_a_code_is_read() -> None:
    # Codes end in "==", sent as %3D%3D: decoded once by whoever parsed the query, and not again here.
    callback = read_callback({"code": ["aPrx%3D=="], "state": ["abc"], "sfdc_community_id": ["1", "2"]})

    assert callback == CallbackCode(code="aPrx%3D==", state="abc")


@pytest.mark.parametrize(
    ("query", "error", "description"),
    [
        (
            {"error": ["access_denied"], "error_description": ["end-user denied authorization"]},
            "access_denied",
            "end-user denied authorization",
        ),
        ({"error": ["OAUTH_APP_BLOCKED"]}, "OAUTH_APP_BLOCKED", ""),
        ({"error": ["access_denied"], "code": [""]}, "access_denied", ""),
    ],
)
def test_an_error_is_read(query: dict[str, list[str]], error: str, description: str) -> None:
    callback = read_callback({**query, "state": ["abc"]})

    assert callback == CallbackError(error=error, description=description, state="abc")


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({}, "no_state"),
        ({"code": ["aPrx"]}, "no_state"),
        ({"code": ["aPrx"], "state": []}, "no_state"),
        ({"code": ["aPrx"], "state": [""]}, "no_state"),
        ({"error": ["access_denied"]}, "no_state"),
        ({"state": ["abc"]}, "no_code"),
        ({"state": ["abc"], "code": [""]}, "no_code"),
        ({"state": ["abc"], "error_description": ["x"]}, "no_code"),
        ({"state": ["abc"], "code": ["aPrx"], "error": ["access_denied"]}, "code_and_error"),
        ({"state": ["abc", "def"], "code": ["aPrx"]}, "duplicate_parameter"),
        ({"state": ["abc"], "code": ["aPrx", "aPrx"]}, "duplicate_parameter"),
        ({"state": ["abc"], "error": ["a", "b"]}, "duplicate_parameter"),
        ({"state": ["abc"], "error": ["a"], "error_description": ["a", "b"]}, "duplicate_parameter"),
        ({"state": ["abc"], "code": [TOO_LONG]}, "too_long"),
        ({"state": [TOO_LONG], "code": ["aPrx"]}, "too_long"),
        ({"state": ["abc"], "error": ["a"], "error_description": [TOO_LONG]}, "too_long"),
        ({"state": ["abc\x00"], "code": ["aPrx"]}, "bad_character"),
        ({"state": ["abc"], "code": ["aPrx\n"]}, "bad_character"),
        ({"state": ["abc"], "code": ["é"]}, "bad_character"),
        ({"state": ["\ud800"], "error": ["access_denied"]}, "bad_character"),
    ],
)
def test_what_salesforce_never_sends_is_refused(query: dict[str, list[str]], problem: str) -> None:
    assert read_callback(query) == CallbackMalformed(problem=problem)


def test_a_code_of_the_greatest_length_is_accepted() -> None:
    code = "a" * LONGEST_VALUE

    assert read_callback({"code": [code], "state": ["abc"]}) == CallbackCode(code=code, state="abc")
