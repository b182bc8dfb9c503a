"""Asking Salesforce whether it knows a connected app."""

from __future__ import annotations

from dataclasses import replace

import pytest

from django_sf_oauth.conf import get_app
from django_sf_oauth.services.live_check import trouble_with
from django_sf_oauth.testing import FakeSalesforce


@pytest.mark.parametrize("alias", ["default", "other", "public"])
def test_an_app_that_salesforce_knows_gives_no_trouble(fake_salesforce: FakeSalesforce, alias: str) -> None:
    assert trouble_with(get_app(alias)) == ""


def test_a_wrong_secret_is_found(fake_salesforce: FakeSalesforce) -> None:
    fake_salesforce.rotate_secret("another-secret", keep_old=False)

    assert trouble_with(get_app()) == "invalid_client"


def test_an_unknown_client_id_is_found(fake_salesforce: FakeSalesforce) -> None:
    app = replace(get_app(), client_id="3MVG9.unknown")

    assert trouble_with(app) != ""


def test_a_salesforce_that_cannot_be_reached_is_found(fake_salesforce: FakeSalesforce) -> None:
    fake_salesforce.maintenance = True

    assert trouble_with(get_app()) != ""


def test_a_host_that_tokens_may_not_be_sent_to_is_found(fake_salesforce: FakeSalesforce) -> None:
    app = replace(get_app(), login_url="https://login.salesforce.com.evil.example")

    assert trouble_with(app) == "untrusted_host"
    assert fake_salesforce.token_requests == 0
