"""The whole way, from a row to the fake."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from django.utils import timezone

from django_sf_oauth.exceptions import ConfigurationError, ReconnectRequired
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection

from .conftest import Plug
from .wire import QUERY

pytestmark = pytest.mark.django_db


def test_a_dead_access_token_goes_unnoticed(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    fake_salesforce.expire_access_tokens()

    answer = salesforce_connection.client().get("query", params=QUERY)

    assert answer.status_code == 200
    assert answer.json()["totalSize"] == 12
    assert fake_salesforce.token_requests == 1


def two_hours_pass(fake: FakeSalesforce) -> None:
    fake.expire_access_tokens()
    SalesforceConnection.objects.update(last_refreshed_at=timezone.now() - timedelta(hours=2))


def test_fresh_tokens_that_are_refused_are_not_renewed_again(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    other = SalesforceConnection.objects.get(pk=salesforce_connection.pk)
    salesforce_connection.refresh()
    fake_salesforce.expire_access_tokens()  # at once: something else is wrong

    assert other.client().get("limits").status_code == 401
    assert fake_salesforce.token_requests == 1


def test_tokens_of_another_that_have_run_out_since_are_renewed_too(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    long_held = SalesforceConnection.objects.get(pk=salesforce_connection.pk)
    salesforce_connection.refresh()
    two_hours_pass(fake_salesforce)

    answer = long_held.client().get("limits")

    assert answer.status_code == 200
    assert [one.status_code for one in answer.history] == [401, 401]
    assert fake_salesforce.token_requests == 2


def test_auth_alone_does_the_same(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    fake_salesforce.expire_access_tokens()
    with requests.Session() as session:
        session.mount("https://", fake_salesforce.adapter())

        answer = session.get(
            f"{salesforce_connection.instance_url}/services/data/v66.0/limits", auth=salesforce_connection.auth()
        )

    assert answer.status_code == 200
    assert fake_salesforce.token_requests == 1


def test_a_moved_org_goes_unnoticed(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    client = salesforce_connection.client()
    host = fake_salesforce.move_instance()

    answer = client.get("query", params=QUERY)

    assert (answer.status_code, urlsplit(answer.url).netloc) == (200, host)


def test_a_revoked_grant_asks_for_a_reconnect(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    fake_salesforce.revoke()
    client = salesforce_connection.client()

    for _ in range(3):
        with pytest.raises(ReconnectRequired):
            client.get("query", params=QUERY)

    assert fake_salesforce.token_requests == 1


def test_simple_salesforce_reads_a_query_with_a_dead_access_token(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    fake_salesforce.expire_access_tokens()

    found = salesforce_connection.simple_salesforce().query("SELECT Id FROM Account")

    assert found["totalSize"] == 12
    assert fake_salesforce.token_requests == 1


def test_simple_salesforce_reaches_an_instance_on_loopback(plug: Plug, settings: Any) -> None:
    """It writes https whatever the URL says; a fake on a local port has none."""
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "TRUSTED_HOSTS": ["127.0.0.1:8001"]}
    wire = plug((200, '{"totalSize": 0}'))
    row = make_connection(instance_url="http://127.0.0.1:8001")

    row.simple_salesforce().query("SELECT Id FROM Account")

    assert wire.urls[0].startswith("http://127.0.0.1:8001/services/data/v66.0/query/")
    assert wire.tokens == [f"Bearer {row.bearer()}"]


def test_without_simple_salesforce_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simple_salesforce", None)

    with pytest.raises(ConfigurationError, match=r"django-sf-oauth\[simple-salesforce\]") as caught:
        make_connection().simple_salesforce()

    assert caught.value.code == "missing_extra"
