"""Names for a new connection, and all that may go wrong in asking for them."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from django_sf_oauth.conf import get_app
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.services.enrichment import enrich
from django_sf_oauth.testing import FakeSalesforce

pytestmark = pytest.mark.django_db


@pytest.fixture
def nameless(salesforce_connection: SalesforceConnection) -> SalesforceConnection:
    SalesforceConnection.objects.update(username="", organization_name="")
    salesforce_connection.refresh_from_db()
    return salesforce_connection


def names_of(connection: SalesforceConnection) -> tuple[str, str]:
    connection.refresh_from_db()
    return connection.username, connection.organization_name


def test_both_names_are_stored_and_nothing_else(
    fake_salesforce: FakeSalesforce, nameless: SalesforceConnection
) -> None:
    before = SalesforceConnection.objects.values("generation", "status", "expires_at").get()

    enrich(nameless, get_app())

    assert nameless.organization_name == "Acme Outdoor"
    assert names_of(nameless) == ("avery.morgan@acme-outdoor.example", "Acme Outdoor")
    assert SalesforceConnection.objects.values("generation", "status", "expires_at").get() == before


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 503, "body": "<h1>Down</h1>"},
        {"status": 200, "body": "null", "content_type": "application/json"},
        {"status": 200, "body": json.dumps({"organization_id": "00D", "user_id": "005"})},
        {"status": 403, "body": "Bad_OAuth_Token", "content_type": "text/plain"},
    ],
    ids=["down", "null", "bad-ids", "dead-token"],
)
def test_a_username_that_nobody_tells_is_left_out(
    fake_salesforce: FakeSalesforce, nameless: SalesforceConnection, answer: dict[str, Any]
) -> None:
    fake_salesforce.fail_next(where="userinfo", **answer)

    enrich(nameless, get_app())

    assert names_of(nameless) == ("", "Acme Outdoor")


def test_the_name_of_somebody_else_is_not_taken(
    fake_salesforce: FakeSalesforce, nameless: SalesforceConnection
) -> None:
    other = fake_salesforce.add_user("eve@acme-outdoor.example")
    body = {"organization_id": other.org.id, "user_id": other.id, "preferred_username": other.username}
    fake_salesforce.fail_next(where="userinfo", status=200, body=json.dumps(body), content_type="application/json")

    enrich(nameless, get_app())

    assert names_of(nameless) == ("", "Acme Outdoor")


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 503, "body": "<h1>Down</h1>"},
        {"status": 403, "body": '[{"errorCode": "API_DISABLED_FOR_ORG"}]', "content_type": "application/json"},
        {"status": 200, "body": "<html></html>"},
        {"status": 200, "body": '{"records": []}', "content_type": "application/json"},
        {"status": 200, "body": '{"records": [null]}', "content_type": "application/json"},
        {"status": 200, "body": '{"records": [{"Name": 5}]}', "content_type": "application/json"},
        {"status": 200, "body": "[]", "content_type": "application/json"},
    ],
    ids=["down", "forbidden", "html", "no-row", "null-row", "number", "list"],
)
def test_an_org_that_does_not_say_its_name_is_left_out(
    fake_salesforce: FakeSalesforce, nameless: SalesforceConnection, answer: dict[str, Any]
) -> None:
    fake_salesforce.fail_next(where="api", **answer)

    enrich(nameless, get_app())

    assert names_of(nameless) == ("avery.morgan@acme-outdoor.example", "")


def test_without_the_api_scope_the_org_is_not_asked(
    fake_salesforce: FakeSalesforce, nameless: SalesforceConnection
) -> None:
    nameless.scopes = ["refresh_token", "id"]
    nameless.save()

    enrich(nameless, get_app())

    assert [one.path for one in fake_salesforce.requests if "/data/" in one.path] == []


def test_nothing_is_written_when_nothing_was_learned(
    fake_salesforce: FakeSalesforce, nameless: SalesforceConnection, caplog: pytest.LogCaptureFixture
) -> None:
    fake_salesforce.maintenance = True

    with caplog.at_level(logging.INFO):
        enrich(nameless, get_app())

    assert names_of(nameless) == ("", "")
    assert "question=userinfo unanswered reason=server_error" in caplog.text
    assert "question=organization unanswered reason=HTTPError" in caplog.text


def test_an_unusable_connection_is_not_asked(
    fake_salesforce: FakeSalesforce, nameless: SalesforceConnection
) -> None:
    nameless.status = SalesforceConnection.Status.BLOCKED

    enrich(nameless, get_app())

    assert fake_salesforce.requests == []
