from __future__ import annotations

import itertools

import pytest

from django_sf_oauth.protocol.classification import TABLE, Actor, Grant
from django_sf_oauth.protocol.errors import (
    LONGEST_ERROR,
    Refusal,
    classify,
    classify_authorize_error,
    read_refusal,
    transport_refusal,
)
from tests.responses import response

USER, ADMIN, OPERATOR = Actor.USER, Actor.CUSTOMER_ADMIN, Actor.OPERATOR
NOBODY, UNKNOWN, ATTEMPT = Actor.NOBODY, Actor.UNKNOWN, Actor.ATTEMPT

# What Salesforce says to a refresh: error, description, who must act, reason.
REFRESH: list[tuple[str, str, Actor, str]] = [
    ("invalid_grant", "expired access/refresh token", USER, "revoked"),
    ("invalid_grant", "token request is already being processed", NOBODY, "contention"),
    ("invalid_grant", "expired authorization code", NOBODY, "contention"),
    ("invalid_grant", "inactive user", ADMIN, "inactive_user"),
    ("invalid_grant", "inactive organization", ADMIN, "inactive_org"),
    ("invalid_grant", "ip restricted", ADMIN, "ip_restricted"),
    ("invalid_grant", "ip restricted or invalid login hours", ADMIN, "ip_restricted"),
    ("invalid_grant", "ip restricted by app developer", OPERATOR, "app_ip_restricted"),
    ("invalid_grant", "token validity expired", USER, "token_expired"),
    ("invalid_grant", "user hasn't approved this consumer", USER, "approval_gone"),
    ("invalid_grant", "user hasn\u2019t approved this consumer", USER, "approval_gone"),
    ("invalid_grant", "authentication failure", UNKNOWN, "authentication_failure"),
    ("invalid_grant", "activation secret invalid", UNKNOWN, "activation_secret_invalid"),
    ("invalid_grant", "invalid code verifier", ATTEMPT, "code_verifier"),
    ("invalid_grant", "unexpected code verifier", ATTEMPT, "code_verifier"),
    ("invalid_grant", "request not supported on this domain", OPERATOR, "wrong_host"),
    ("invalid_grant", "no valid scopes defined", OPERATOR, "no_valid_scopes"),
    ("invalid_grant", "", UNKNOWN, "unknown"),
    ("invalid_grant", "something new", UNKNOWN, "unknown"),
    ("unknown", "Data Not Available", USER, "org_gone"),
    ("", "Error: Data Not Available. The data was not found.", USER, "org_gone"),
    ("invalid_client_id", "client identifier invalid", OPERATOR, "invalid_client_id"),
    ("invalid_client", "invalid client credentials", OPERATOR, "invalid_client"),
    ("invalid_client", "app must be installed into org", ADMIN, "app_not_installed"),
    (
        "app_not_found",
        "External client app is not installed in this org",
        ADMIN,
        "app_not_installed",
    ),
    ("OAUTH_EC_APP_NOT_FOUND", "", ADMIN, "app_not_installed"),
    ("invalid_client", "App is not installed in this org", ADMIN, "app_not_installed"),
    ("invalid_app_access", "user is not admin approved to access this app", ADMIN, "not_approved"),
    ("invalid_app_access", "", ADMIN, "not_approved"),
    ("invalid_grant", "user is not admin approved to access this app", ADMIN, "not_approved"),
    ("app_blocked", "", ADMIN, "app_blocked"),
    ("fail_close_app_blocked", "", ADMIN, "app_blocked"),
    (
        "oauth_flow_disabled",
        "The external client app or the OAuth plugin is disabled.",
        ADMIN,
        "app_blocked",
    ),
    ("oauth_policy_not_found", "", ADMIN, "app_blocked"),
    ("ecapp_policy_not_found", "", ADMIN, "app_blocked"),
    ("installation_error", "", ADMIN, "app_blocked"),
    ("invalid_distribution_state", "", ADMIN, "app_blocked"),
    ("unsupported_grant_type", "grant type not supported", OPERATOR, "unsupported_grant_type"),
    ("invalid_request", "", OPERATOR, "invalid_request"),
    ("invalid_scope", "", OPERATOR, "invalid_scope"),
    ("redirect_uri_mismatch", "", OPERATOR, "redirect_uri_mismatch"),
    ("redirect_uri_missing", "", OPERATOR, "redirect_uri_missing"),
    ("invalid_assertion_type", "", OPERATOR, "invalid_assertion_type"),
    ("invalid_basic_auth_header", "", OPERATOR, "invalid_basic_auth_header"),
    ("unknown_error", "retry your request", NOBODY, "server_error"),
    ("unknown_error", "", UNKNOWN, "unknown"),
    ("server_error", "", NOBODY, "server_error"),
    ("service_unavailable", "", NOBODY, "server_error"),
    ("system_down", "", NOBODY, "server_error"),
    ("temporarily_unavailable", "", NOBODY, "server_error"),
    ("slow_down", "", NOBODY, "rate_limited"),
    ("login_error", "", UNKNOWN, "login_error"),
    ("invalid_session_level", "", UNKNOWN, "invalid_session_level"),
    ("something_new", "", UNKNOWN, "unknown"),
    ("inactive_user", "user is inactive", ADMIN, "inactive_user"),
    ("inactive_org", "organization is locked, closed, or suspended", ADMIN, "inactive_org"),
    ("rate_limit_exceeded", "number of logins exceeded", NOBODY, "rate_limited"),
    ("invalid_client_credentials", "client secret invalid", OPERATOR, "invalid_client"),
    ("client_blocked", "", UNKNOWN, "client_blocked"),
    ("client_blocked_retry", "", NOBODY, "client_blocked"),
    ("invalid_dpop_proof", "", UNKNOWN, "unknown"),
    ("invalid_token", "", UNKNOWN, "unknown"),
    ("access_denied", "", UNKNOWN, "unknown"),
]
CODE: list[tuple[str, str, Actor, str]] = [
    ("invalid_grant", "expired authorization code", ATTEMPT, "code_expired"),
    ("invalid_grant", "invalid authorization code", ATTEMPT, "code_invalid"),
    ("invalid_grant", "invalid code verifier", ATTEMPT, "code_verifier"),
    ("invalid_request", "invalid code verifier", ATTEMPT, "code_verifier"),
    ("redirect_uri_mismatch", "redirect_uri must match configuration", OPERATOR, "redirect_uri_mismatch"),
]
REVOKE: list[tuple[str, str, Actor, str]] = [
    ("invalid_token", "", NOBODY, "invalid_token"),
    ("unsupported_token_type", "", OPERATOR, "unsupported_token_type"),
    ("invalid_client", "invalid client credentials", OPERATOR, "invalid_client"),
]
AUTHORIZE: list[tuple[str, str, Actor, str]] = [
    ("access_denied", "end-user denied authorization", ATTEMPT, "access_denied"),
    ("access-denied", "", ATTEMPT, "access_denied"),
    ("denied", "End-user denied authorization", ATTEMPT, "access_denied"),
    ("immediate_unsuccessful", "", ATTEMPT, "immediate_unsuccessful"),
    ("OAUTH_APP_BLOCKED", "this app is blocked by admin", ADMIN, "app_blocked"),
    ("access_denied", "this app is blocked by admin", ADMIN, "app_blocked"),
    ("OAUTH_APP_BLOCKED", "", ADMIN, "app_blocked"),
    (
        "OAUTH_APP_ACCESS_DENIED",
        "user is not admin approved to access this app",
        ADMIN,
        "not_approved",
    ),
    ("OAUTH_APP_ACCESS_DENIED", "", ADMIN, "not_approved"),
    ("invalid_client", "app must be installed into org", ADMIN, "app_not_installed"),
    ("invalid_request", "missing required code challenge", OPERATOR, "invalid_request"),
    ("invalid_scope", "the requested scope is not allowed", OPERATOR, "invalid_scope"),
    ("server_error", "", NOBODY, "server_error"),
    ("<script>", "", UNKNOWN, "unknown"),
]
CASES: list[tuple[Grant, str, str, Actor, str]] = [
    *(("refresh_token", *case) for case in REFRESH),
    *(("authorization_code", *case) for case in CODE),
    *(("revoke", *case) for case in REVOKE),
    *(("authorize", *case) for case in AUTHORIZE),
]


@pytest.mark.parametrize(("grant", "error", "description", "actor", "reason"), CASES)
def test_each_documented_refusal_names_who_must_act(
    grant: Grant, error: str, description: str, actor: Actor, reason: str
) -> None:
    refusal = classify(error=error, description=description, status=400, grant=grant)

    assert (refusal.actor, refusal.reason, refusal.status) == (actor, reason, 400)


@pytest.mark.parametrize(("error", "description", "actor", "reason"), REFRESH)
def test_casing_and_blanks_do_not_matter(error: str, description: str, actor: Actor, reason: str) -> None:
    shouted, spaced = f" {error.upper()}\n", f"  {description.upper().replace(' ', '  ')} "

    refusal = classify(error=shouted, description=spaced, status=400, grant="refresh_token")

    assert (refusal.actor, refusal.reason) == (actor, reason)


def test_the_cases_above_reach_every_row_of_the_table() -> None:
    reached = {
        next((rule for rule in TABLE if rule.matches(*_normal(error, description), grant)), None)
        for grant, error, description, _, _ in CASES
    }

    assert set(TABLE) <= reached


def test_every_error_of_the_table_is_among_the_cases() -> None:
    named = set(itertools.chain.from_iterable(rule.errors for rule in TABLE))

    assert named <= {_normal(error, "")[0] for _, error, _, _, _ in CASES}


def _normal(error: str, description: str) -> tuple[str, str]:
    return error.lower().replace("-", "_"), description.lower()


@pytest.mark.parametrize(("error", "description", "actor", "reason"), AUTHORIZE)
def test_an_error_on_the_callback_is_classified(error: str, description: str, actor: Actor, reason: str) -> None:
    refusal = classify_authorize_error(error, description)

    assert (refusal.actor, refusal.reason, refusal.status) == (actor, reason, None)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (406, "rate_limited"),
        (420, "rate_limited"),
        (429, "rate_limited"),
        (500, "server_error"),
        (503, "server_error"),
    ],
)
def test_trouble_of_the_server_is_never_taken_for_a_dead_grant(status: int, reason: str) -> None:
    refusal = classify(
        error="invalid_grant",
        description="expired access/refresh token",
        status=status,
        grant="refresh_token",
        retry_after=7.5,
    )

    assert refusal == Refusal(actor=NOBODY, reason=reason, error="invalid_grant", status=status, retry_after=7.5)


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        ("invalid_grant", "invalid_grant"),
        (" Invalid-Grant\r\n", "invalid_grant"),
        ("", ""),
        ("<script>alert('x')</script>", "_script_alert_x_script_"),
        ("a\x1b[31m\nforged log line", "a_31m_forged_log_line"),
        ("x" * 1000, "x" * LONGEST_ERROR),
        ("é\ud800", "_"),
    ],
)
def test_log_injection_through_the_error_is_impossible(error: str, kept: str) -> None:
    assert classify(error=error, description="", status=400, grant="refresh_token").error == kept
    assert classify_authorize_error(error, "").error == kept


def test_a_token_in_the_description_is_not_kept() -> None:
    body = b'{"error": "invalid_grant", "error_description": "5Aep861FakeRefreshToken", "x": "5Aep861Fake"}'

    refusal = read_refusal(status=400, content_type="application/json", body=body, grant="refresh_token")

    assert "5aep861" not in repr(refusal).lower()


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        ("application/json", "refresh_refused.json"),
        ("application/x-www-form-urlencoded", "refresh_refused.txt"),
        ("application/xml", "refresh_refused.xml"),
    ],
)
def test_a_refusal_is_read_in_every_format(content_type: str, name: str) -> None:
    refusal = read_refusal(
        status=400, content_type=content_type, body=response(name), grant="refresh_token", retry_after=3.0
    )

    assert refusal == Refusal(actor=USER, reason="revoked", error="invalid_grant", status=400, retry_after=3.0)


@pytest.mark.parametrize(
    ("status", "body", "actor", "reason", "answer_lost"),
    [
        (200, b"", NOBODY, "malformed_answer", True),
        (200, b"{}", NOBODY, "malformed_answer", True),
        (200, b"null", NOBODY, "malformed_answer", True),
        (400, b"", NOBODY, "malformed_answer", False),
        (400, b"<html>", NOBODY, "malformed_answer", False),
        (400, b"{}", UNKNOWN, "unknown", False),
        (400, b'{"error": 5}', UNKNOWN, "unknown", False),
        (400, b'{"error": ""}', UNKNOWN, "unknown", False),
        (400, b'{"error": "invalid_grant", "error_description": 5}', UNKNOWN, "unknown", False),
        (401, b'[{"errorCode": "INVALID_SESSION_ID"}]', UNKNOWN, "unknown", False),
        (401, b"Unauthorized", NOBODY, "malformed_answer", False),
        (403, b'{"message": "x"}', UNKNOWN, "unknown", False),
        (403, b"<html>", NOBODY, "malformed_answer", False),
        (404, b"Bad_Id", OPERATOR, "wrong_host", False),
        (404, b"Bad_Id\n", OPERATOR, "wrong_host", False),
        (404, b"<html>", NOBODY, "malformed_answer", False),
        (400, b"Bad_Id", NOBODY, "malformed_answer", False),
        (406, b"", NOBODY, "rate_limited", False),
        (420, b"<html>", NOBODY, "rate_limited", False),
        (429, b"{}", NOBODY, "rate_limited", False),
        (500, b"{}", NOBODY, "server_error", True),
        (503, b"<html>", NOBODY, "server_error", True),
    ],
)
def test_an_answer_without_an_oauth_error_blames_no_user(
    status: int, body: bytes, actor: Actor, reason: str, answer_lost: bool
) -> None:
    refusal = read_refusal(status=status, content_type="", body=body, grant="refresh_token", retry_after=None)

    assert (refusal.actor, refusal.reason, refusal.answer_lost) == (actor, reason, answer_lost)
    assert refusal.status == status


def test_a_page_of_html_is_no_refusal_of_the_grant() -> None:
    refusal = read_refusal(
        status=503, content_type="text/html", body=response("maintenance.html"), grant="refresh_token"
    )

    assert refusal == Refusal(actor=NOBODY, reason="server_error", status=503, answer_lost=True)


@pytest.mark.parametrize(
    ("reason", "actor"), [("timeout", NOBODY), ("connection", NOBODY), ("wrong_host", OPERATOR)]
)
def test_a_failure_of_the_transport_asks_nobody_but_the_operator_of_a_wrong_host(
    reason: str, actor: Actor
) -> None:
    refusal = transport_refusal(reason, status=302, answer_lost=True, retry_after=1.0)

    assert refusal == Refusal(actor=actor, reason=reason, status=302, answer_lost=True, retry_after=1.0)
