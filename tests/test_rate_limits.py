"""Rates as they are written in the settings."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import override_settings
from django.utils import timezone

from django_sf_oauth.models import ConnectAttempt
from django_sf_oauth.services.connect import start
from django_sf_oauth.services.pruning import prune
from django_sf_oauth.services.rate_limits import parse_rate
from tests.factories import make_user


@pytest.mark.parametrize(
    ("rate", "count", "seconds"),
    [("20/m", 20, 60), ("1/s", 1, 1), ("100 / h", 100, 3600), (" 5/d ", 5, 86400), ("0/m", 0, 60)],
)
def test_a_rate_is_a_number_in_a_time(rate: str, count: int, seconds: int) -> None:
    assert parse_rate(rate) == (count, timedelta(seconds=seconds))


@pytest.mark.parametrize("rate", ["", "20", "20/", "20/w", "m/20", "-1/m", "1.5/m", "20/mm", "٢/m"])
def test_anything_else_is_refused(rate: str) -> None:
    with pytest.raises(ValueError, match="a number, a slash"):
        parse_rate(rate)


@pytest.mark.django_db
@pytest.mark.parametrize(("rate", "kept"), [("2/h", 1), ("2/m", 0), (None, 0)], ids=["hour", "minute", "none"])
def test_pruning_keeps_the_attempts_that_a_limit_counts(rate: str | None, kept: int) -> None:
    configured = {"CLIENT_ID": "id", "CLIENT_SECRET": "secret", "RATE_LIMITS": {"connect": rate}}
    with override_settings(SALESFORCE_OAUTH=configured):
        start(user=make_user(), browser="mark", redirect_uri="https://site.example/salesforce/callback/")
        ConnectAttempt.objects.update(created_at=timezone.now() - timedelta(minutes=20))

        prune()

    assert ConnectAttempt.objects.count() == kept
    assert not ConnectAttempt.objects.open().exists()
