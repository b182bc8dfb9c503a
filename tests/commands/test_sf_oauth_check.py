from __future__ import annotations

from typing import Any

import pytest
from django.core import checks
from django.core.checks.registry import registry
from django.test import override_settings

from django_sf_oauth.testing import FakeSalesforce
from tests.commands.conftest import Run


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[checks.CheckMessage]:
    """What a check of the package finds."""
    messages: list[checks.CheckMessage] = []
    foreign = checks.Error("not ours", id="another.E001")

    def check(**kwargs: Any) -> list[checks.CheckMessage]:
        return [*messages, foreign]

    monkeypatch.setattr(registry, "registered_checks", {check})
    return messages


def test_a_site_without_faults_is_fine(run: Run, found: list[checks.CheckMessage]) -> None:
    ran = run("sf_oauth_check")

    assert (ran.code, ran.out) == (0, "ok settings: nothing to say\n")


def test_an_error_fails_and_is_told(run: Run, found: list[checks.CheckMessage]) -> None:
    found.append(checks.Error("CLIENT_ID is missing.", id="django_sf_oauth.E900"))

    ran = run("sf_oauth_check")

    assert (ran.code, ran.said) == (1, "1 to mend.")
    assert ran.out == "!! django_sf_oauth.E900: CLIENT_ID is missing.\n"


def test_a_warning_is_told_and_fails_nothing(run: Run, found: list[checks.CheckMessage]) -> None:
    found.append(checks.Warning("Use WAL.", id="django_sf_oauth.W900"))

    ran = run("sf_oauth_check", "--json")

    assert ran.code == 0
    assert ran.json == [{"subject": "django_sf_oauth.W900", "ok": True, "message": "Use WAL."}]


def test_a_warning_is_not_called_ok(run: Run, found: list[checks.CheckMessage]) -> None:
    found.append(checks.Warning("Use WAL.", id="django_sf_oauth.W900"))

    ran = run("sf_oauth_check")

    assert (ran.code, ran.out) == (0, "warning django_sf_oauth.W900: Use WAL.\n")


def test_live_asks_salesforce_about_each_app(
    run: Run, found: list[checks.CheckMessage], fake_salesforce: FakeSalesforce
) -> None:
    ran = run("sf_oauth_check", "--live", "--json")

    assert ran.code == 0
    assert [one["subject"] for one in ran.json] == ["settings", "app default", "app other", "app public"]


def test_live_names_the_app_that_salesforce_refuses_and_prints_no_secret(
    run: Run, found: list[checks.CheckMessage], fake_salesforce: FakeSalesforce, settings: Any
) -> None:
    fake_salesforce.rotate_secret("another-secret", keep_old=False)

    ran = run("sf_oauth_check", "--live")

    assert ran.code == 1
    assert "!! app default: https://login.salesforce.com does not take it: invalid_client" in ran.out
    assert settings.SALESFORCE_OAUTH["CLIENT_SECRET"] not in ran.out


def test_live_says_when_a_login_host_cannot_be_reached(
    run: Run, found: list[checks.CheckMessage], fake_salesforce: FakeSalesforce
) -> None:
    fake_salesforce.lose_answer(1)

    ran = run("sf_oauth_check", "--live")

    assert ran.code == 1
    assert "!! app default: https://login.salesforce.com cannot be reached: connection." in ran.out


@override_settings(SALESFORCE_OAUTH={"CLIENT_ID": ""})
def test_live_says_when_the_settings_cannot_be_read(run: Run, found: list[checks.CheckMessage]) -> None:
    ran = run("sf_oauth_check", "--live")

    assert ran.code == 1
    assert "has no CLIENT_ID" in ran.out
