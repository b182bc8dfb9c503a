"""The columns that a token answer sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from django_sf_oauth.conf import get_app
from django_sf_oauth.fields import sealed_field
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.models.token_values import token_values
from django_sf_oauth.protocol.tokens import TokenAnswer
from tests.factories import make_connection

pytestmark = pytest.mark.django_db


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
