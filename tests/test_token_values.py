"""The columns that a token answer sets."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_sf_oauth.conf import get_app
from django_sf_oauth.fields import sealed_field
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.models.token_values import token_values
from django_sf_oauth.protocol.tokens import TokenAnswer
from tests.factories import make_connection

pytestmark = pytest.mark.django_db

CLAIMS = urlsafe_b64encode(b'{"exp": 4102444800}').decode()
JWT = f"e30.{CLAIMS}.sig"


def issued_at(said: str | None) -> datetime:
    answer = TokenAnswer(access_token="00D000000000001!one", issued_at=said)
    stored: datetime = token_values(make_connection(), answer, get_app())["issued_at"]
    return stored


def test_a_token_was_issued_when_salesforce_says() -> None:
    assert issued_at("1278448384422") == datetime(2010, 7, 6, 20, 33, 4, 422000, tzinfo=UTC)


@pytest.mark.parametrize("said", [None, "", "9" * 30], ids=["nothing", "blank", "beyond-all-years"])
def test_a_time_that_makes_no_sense_costs_no_token(said: str | None) -> None:
    before = timezone.now()

    assert timedelta(0) <= issued_at(said) - before < timedelta(minutes=1)


def test_a_field_in_clear_is_not_taken_for_a_sealed_one() -> None:
    with pytest.raises(TypeError, match="username is not sealed"):
        sealed_field(SalesforceConnection, "username")


@pytest.mark.parametrize(
    ("token", "expires_in", "slides"),
    [("00D000000000001!one", None, True), ("00D000000000001!one", 600, False), (JWT, None, False)],
    ids=["session", "expires-in", "jwt"],
)
def test_a_session_slides_and_what_says_its_end_does_not(token: str, expires_in: int | None, slides: bool) -> None:
    values = token_values(make_connection(), TokenAnswer(access_token=token, expires_in=expires_in), get_app())

    assert values["slides"] is slides


@pytest.mark.parametrize(
    ("known", "life"),
    [
        ({}, timedelta(hours=2)),
        ({"told_lifetime": timedelta(hours=8)}, timedelta(hours=8)),
        ({"learned_lifetime": timedelta(hours=1)}, timedelta(minutes=63)),
        ({"told_lifetime": timedelta(minutes=62), "learned_lifetime": timedelta(hours=1)}, timedelta(minutes=62)),
    ],
    ids=["the-setting", "introspection", "a-lesson", "a-lesson-that-is-over"],
)
def test_what_was_learned_comes_before_what_was_told_and_that_before_the_setting(
    known: dict[str, Any], life: timedelta
) -> None:
    values = token_values(make_connection(**known), TokenAnswer(access_token="00D000000000001!one"), get_app())

    assert values["expires_at"] - values["last_refreshed_at"] == life


def test_only_a_lesson_is_written_anew() -> None:
    answer = TokenAnswer(access_token="00D000000000001!one")

    assert "learned_lifetime" not in token_values(make_connection(), answer, get_app())
    taught = make_connection(learned_lifetime=timedelta(minutes=119))
    assert token_values(taught, answer, get_app())["learned_lifetime"] is None


def test_a_policy_for_unused_tokens_brings_the_heartbeat_near() -> None:
    app = replace(get_app(), expires_if_unused=timedelta(days=4))

    values = token_values(make_connection(), TokenAnswer(access_token="00D000000000001!one"), app)

    assert values["next_refresh_at"] - values["last_refreshed_at"] <= timedelta(days=2)
