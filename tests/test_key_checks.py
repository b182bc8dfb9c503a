"""Each mistake in the keys has an id."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage
from django.test import override_settings

from django_sf_oauth.key_checks import check_keys, check_provided_keys

from .test_checks import app, ids

GOOD, OTHER = "R3xGkzq0bWlZx7c1nUuH0h9pVfKJ2mQd", "9f86d081884c7d659a2feaa0c55ad015"


def found(keys: Any, **more: Any) -> list[CheckMessage]:
    with override_settings(FERNET_KEYS=keys, **more):
        return check_keys()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param(None, ["W001"], id="None"),
        pytest.param([], ["W001"], id="empty"),
        pytest.param(GOOD, ["E010"], id="text"),
        pytest.param(GOOD.encode(), ["E010"], id="bytes"),
        pytest.param({GOOD, OTHER}, ["E021"], id="set"),
        pytest.param([GOOD, None], ["E022"], id="unset-variable"),
        pytest.param([GOOD, 5], ["E022"], id="number"),
        pytest.param([GOOD, ""], ["E011"], id="blank"),
        pytest.param([GOOD, "  "], ["E011"], id="blanks"),
        pytest.param([GOOD, f" {OTHER}"], ["W002"], id="leading-blank"),
        pytest.param([GOOD, f"{OTHER}\n"], ["W002"], id="end-of-line"),
        pytest.param([GOOD, GOOD], ["W003"], id="twice"),
        pytest.param([GOOD[:31]], ["W030"], id="short"),
        pytest.param(["x" * 64], ["W031"], id="one-letter"),
        pytest.param(["password-" * 5], ["W031"], id="a-word-again-and-again"),
        pytest.param(["0123456789" * 4], ["W031"], id="digits-in-order"),
        pytest.param([GOOD, OTHER], [], id="right"),
        pytest.param((GOOD.encode(),), [], id="tuple-of-bytes"),
    ],
)
def test_a_mistake_in_the_keys_is_found(keys: Any, expected: list[str]) -> None:
    assert ids(found(keys)) == expected


@pytest.mark.parametrize("make", [secrets.token_hex, secrets.token_urlsafe], ids=["hex", "base64"])
def test_no_random_key_is_called_weak(make: Any) -> None:
    keys = [make(32) for _ in range(500)] + [make(24) for _ in range(500)]

    assert found(keys) == []


def test_the_secret_key_is_no_key() -> None:
    assert ids(found([GOOD], SECRET_KEY=GOOD)) == ["W032"]


def test_absent_keys_are_found() -> None:
    with override_settings():
        del settings.FERNET_KEYS
        assert ids(check_keys()) == ["W001"]


@pytest.mark.parametrize(
    ("key", "expected"), [("too short", ["E012"]), (Fernet.generate_key().decode(), [])], ids=["short", "right"]
)
def test_keys_that_are_used_as_they_are_have_to_be_of_the_right_length(key: str, expected: list[str]) -> None:
    assert ids(found([key], FERNET_USE_HKDF=False)) == expected


def test_no_message_shows_a_key() -> None:
    keys = ["hunter2hunter2hunter2hunter2hunter2", " short", "short"]

    told = " ".join(f"{one.msg} {one.hint}" for one in found(keys, SECRET_KEY="short"))

    assert "hunter2" not in told
    assert " short " not in told.replace("is shorter", "")


# A provider


@pytest.mark.parametrize(
    "value", ["no.such.module", "hunter2", "tests.test_key_checks.GOOD", ["a list"], 5], ids=str
)
def test_a_provider_that_cannot_be_called_is_found_and_not_printed(value: Any) -> None:
    with override_settings(SALESFORCE_OAUTH=app(KEY_PROVIDER=value)):
        [message] = check_keys()
        [deployed] = check_provided_keys()

    assert ids([message, deployed]) == ["E020", "E023"]
    assert str(value) not in f"{message.msg} {deployed.msg} {deployed.hint}"


def test_an_ordinary_check_asks_no_vault() -> None:
    with override_settings(SALESFORCE_OAUTH=app(KEY_PROVIDER=fails)):
        assert check_keys() == []


def fails() -> list[str]:
    raise OSError("hunter2 is the password of the vault")


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        pytest.param(None, [], id="none"),
        pytest.param(lambda: [GOOD, OTHER], [], id="right"),
        pytest.param(lambda: [GOOD, GOOD[:31]], ["W030"], id="short"),
        pytest.param(lambda: GOOD, ["E023"], id="text"),
        pytest.param(list, ["E023"], id="empty"),
        pytest.param(lambda: [GOOD, ""], ["E023"], id="blank"),
        pytest.param(fails, ["E023"], id="down"),
    ],
)
def test_what_a_provider_gives_is_checked_on_deployment(provider: Any, expected: list[str]) -> None:
    with override_settings(SALESFORCE_OAUTH=app(KEY_PROVIDER=provider)):
        messages = check_provided_keys()

    assert ids(messages) == expected
    assert "hunter2" not in str(messages)
