"""What must not go live has an id."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest
from django.core.checks import CheckMessage
from django.test import override_settings

from django_sf_oauth.deploy_checks import check_deployment
from django_sf_oauth.testing import FakeSalesforce
from tests.pages import ROOT
from tests.test_checks import app, ids

# What a site says that is ready.
READY: dict[str, Any] = {"SECURE_SSL_REDIRECT": True, "ALLOWED_HOSTS": ["crm.example.com"]}
CALLBACK = "https://crm.example.com/cb/"


def found_with(**values: Any) -> list[CheckMessage]:
    with override_settings(**{**READY, "SALESFORCE_OAUTH": app(), **values}):
        return check_deployment()


def logging_of(**levels: Any) -> dict[str, Any]:
    """The settings for these levels, which Django would set at once, and leave set."""
    loggers = {name: {"level": level} for name, level in levels.items()}
    return {"LOGGING": {"version": 1, "loggers": loggers}, "LOGGING_CONFIG": None}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param({}, [], id="ready"),
        pytest.param({"SALESFORCE_OAUTH": {"CLIENT_ID": ""}}, [], id="cannot-be-read"),
        pytest.param(
            {"SALESFORCE_OAUTH": app(REDIRECT_URI="http://localhost:8000/")},
            ["E050"],
            id="codes-in-clear",
        ),
        pytest.param(
            {"SALESFORCE_OAUTH": app(REDIRECT_URI=CALLBACK), "SECURE_SSL_REDIRECT": False}, [], id="callback-named"
        ),
        pytest.param({"SECURE_SSL_REDIRECT": False}, ["W060"], id="scheme-unknown"),
        pytest.param(
            {"SECURE_SSL_REDIRECT": False, "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")},
            [],
            id="behind-a-proxy",
        ),
        pytest.param({"FERNET_KEYS": ["a key of this site", b"\xff"]}, [], id="keys-of-its-own"),
        pytest.param({"FERNET_KEYS": None}, [], id="no-keys"),
        pytest.param({"ALLOWED_HOSTS": ["*"]}, ["W061"], id="any-host"),
        pytest.param({"USE_X_FORWARDED_HOST": True}, ["W061"], id="host-from-a-header"),
        pytest.param(
            {"SALESFORCE_OAUTH": app(REDIRECT_URI=CALLBACK), "ALLOWED_HOSTS": ["*"]},
            [],
            id="one-callback",
        ),
        pytest.param(
            {"SALESFORCE_OAUTH": app(LOGIN_URL="http://127.0.0.1:8001", TRUSTED_HOSTS=["127.0.0.1:8001"])},
            ["E051"],
            id="fake-as-login-url",
        ),
        pytest.param(
            {"SALESFORCE_OAUTH": app(LOGIN_HOSTS=["login.salesforce.com", "[::1]:8001"])},
            ["E051"],
            id="offered",
        ),
        pytest.param({"SALESFORCE_OAUTH": app(TRUSTED_HOSTS=["localhost"])}, ["E051"], id="this-machine-trusted"),
        pytest.param({"SALESFORCE_OAUTH": app(TRUSTED_HOSTS=["crm.example.com"])}, [], id="another-host-trusted"),
        pytest.param(logging_of(oauthlib="DEBUG"), ["W062"], id="oauthlib-at-debug"),
        pytest.param(logging_of(requests_oauthlib=10), ["W062"], id="level-as-number"),
        pytest.param(logging_of(oauthlib="INFO", crm="DEBUG"), [], id="others-at-debug"),
        pytest.param({"LOGGING": None}, [], id="no-logging"),
        pytest.param(
            {"SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies"}, ["W063"], id="signed-cookies"
        ),
    ],
)
def test_what_must_not_go_live_is_found(values: dict[str, Any], expected: list[str]) -> None:
    assert ids(found_with(**values)) == expected


def test_a_fake_that_is_plugged_in_does_not_go_live(fake_salesforce: FakeSalesforce) -> None:
    assert ids(found_with()) == ["E052"]


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial/first-connection.md"])
def test_the_key_of_the_documentation_does_not_go_live(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    (keys,) = re.findall(r"^FERNET_KEYS = (\[.*?\])", text, re.MULTILINE)

    assert ids(found_with(FERNET_KEYS=ast.literal_eval(keys))) == ["E053"]
