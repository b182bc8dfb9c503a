"""The words for what went wrong."""

from __future__ import annotations

import pytest
from django.utils import translation

from django_sf_oauth.protocol.classification import TABLE
from django_sf_oauth.protocol.errors import Actor, Refusal
from django_sf_oauth.services.failures import FAILURES, SAME_AS, Press, code_of, describe, failed

SPOKEN_OF = [
    "access_denied",
    "app_blocked",
    "app_not_installed",
    "bad_login_host",
    "bad_next",
    "bad_signature",
    "code_expired",
    "inactive_org",
    "inactive_user",
    "invalid_client",
    "invalid_scope",
    "ip_restricted",
    "malformed_answer",
    "malformed_callback",
    "misconfigured",
    "missing_refresh_token",
    "missing_scopes",
    "not_approved",
    "rate_limited",
    "signed_out",
    "state_foreign",
    "state_missing",
    "state_unknown",
    "stopped",
    "temporarily_unavailable",
    "unknown",
    "unknown_app",
    "untrusted_instance",
    "wrong_identity",
]


def refusal(reason: str, actor: Actor = Actor.UNKNOWN) -> Refusal:
    return Refusal(actor=actor, reason=reason)


def test_the_codes_are_stable() -> None:
    assert sorted(FAILURES) == SPOKEN_OF


@pytest.mark.parametrize("code", SPOKEN_OF)
def test_each_failure_says_what_happened_who_mends_it_and_what_to_press(code: str) -> None:
    failure = describe(code)

    assert str(failure.title)
    assert str(failure.happened).endswith(".")
    assert str(failure.mend).endswith(".")
    assert failure.press in Press
    assert failure.status in {400, 403, 429, 502, 503}
    assert len(str(failure.title)) < 70


def test_a_code_that_nobody_knows_is_spoken_of_too() -> None:
    assert describe("made-up") is FAILURES["unknown"]


def test_every_answer_of_salesforce_has_words() -> None:
    codes = {code_of(refusal(rule.reason, rule.actor)) for rule in TABLE}

    assert codes <= set(FAILURES)


@pytest.mark.parametrize(
    ("answered", "code"),
    [
        (refusal("timeout", Actor.NOBODY), "temporarily_unavailable"),
        (refusal("connection", Actor.NOBODY), "temporarily_unavailable"),
        (refusal("rate_limited", Actor.NOBODY), "temporarily_unavailable"),
        (refusal("malformed_answer", Actor.NOBODY), "malformed_answer"),
        (refusal("too_large", Actor.NOBODY), "malformed_answer"),
        (refusal("redirect", Actor.NOBODY), "malformed_answer"),
        (refusal("wrong_host", Actor.OPERATOR), "misconfigured"),
        (refusal("ip_restricted", Actor.CUSTOMER_ADMIN), "ip_restricted"),
        (refusal("org_gone", Actor.USER), "inactive_org"),
        (refusal("login_error", Actor.UNKNOWN), "unknown"),
    ],
    ids=lambda value: value.reason if isinstance(value, Refusal) else value,
)
def test_a_refusal_is_told_by_whoever_must_act(answered: Refusal, code: str) -> None:
    assert code_of(answered) == code


def test_synonyms_lead_to_words() -> None:
    assert set(SAME_AS.values()) <= set(FAILURES)


def test_names_are_filled_in() -> None:
    error = failed("missing_scopes", scopes="web, id")

    assert error.code == "missing_scopes"
    assert error.user_message == "Missing: web, id."


def test_the_words_are_translated_when_they_are_shown() -> None:
    with translation.override("de"):
        assert str(describe("unknown").title)
