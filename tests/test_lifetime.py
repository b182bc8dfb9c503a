"""Salesforce is asked once how long the sessions of a connection live."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings
from django.utils import timezone

from django_sf_oauth.conf import get_app
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.services.lifetime import ask_lifetime
from django_sf_oauth.testing import FakeSalesforce
from tests.journey import connect, signed_in_client, the_connection

pytestmark = pytest.mark.django_db

INTROSPECT = "/services/oauth2/introspect"


def asked(fake: FakeSalesforce) -> int:
    return [exchange.path for exchange in fake.requests].count(INTROSPECT)


def lives(connection: SalesforceConnection) -> tuple[timedelta | None, timedelta]:
    assert connection.expires_at
    assert connection.last_refreshed_at
    return connection.told_lifetime, connection.expires_at - connection.last_refreshed_at


@pytest.fixture
def connection(salesforce_connection: SalesforceConnection) -> SalesforceConnection:
    salesforce_connection.refresh()
    SalesforceConnection.objects.update(last_used_at=timezone.now())
    salesforce_connection.refresh_from_db()
    return salesforce_connection


@pytest.mark.django_db(transaction=True)
def test_the_life_of_a_new_connection_is_what_salesforce_says(fake_salesforce: FakeSalesforce) -> None:
    fake_salesforce.world.session_lifetime = 1800

    connect(signed_in_client(), fake_salesforce)

    connection = the_connection()
    assert lives(connection) == (timedelta(minutes=30), timedelta(minutes=30))
    assert connection.next_refresh_at is not None
    assert connection.next_refresh_at < connection.expires_at  # type: ignore[operator]
    connection.refresh()
    connection.refresh_from_db()
    assert lives(connection) == (timedelta(minutes=30), timedelta(minutes=30))
    assert asked(fake_salesforce) == 1


@pytest.mark.django_db(transaction=True)
def test_a_reconnect_asks_anew_and_forgets_what_was_learned(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)
    SalesforceConnection.objects.update(
        learned_lifetime=timedelta(minutes=20), told_lifetime=timedelta(minutes=30)
    )
    fake_salesforce.fail_next(where="introspect", status=503)

    connect(client, fake_salesforce)

    connection = the_connection()
    assert lives(connection) == (None, get_app().session_lifetime)
    assert connection.learned_lifetime is None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, "<h1>Down</h1>"),
        (401, json.dumps({"error": "invalid_client"})),
        (200, json.dumps({"active": False})),
        (200, json.dumps({"active": True, "exp": 1_800_000_000})),
        (200, json.dumps({"active": True, "iat": 1_800_000_000, "exp": 1_800_000_060})),
        (200, json.dumps({"active": True, "iat": 1_800_000_000, "exp": 1_900_000_000})),
    ],
    ids=["down", "refused", "dead", "no-iat", "a-minute", "three-years"],
)
def test_where_salesforce_does_not_say_the_guess_stays(
    fake_salesforce: FakeSalesforce, connection: SalesforceConnection, status: int, body: str
) -> None:
    fake_salesforce.fail_next(where="introspect", status=status, body=body, content_type="application/json")

    ask_lifetime(connection, get_app())

    connection.refresh_from_db()
    assert lives(connection) == (None, get_app().session_lifetime)
    assert asked(fake_salesforce) == 1


def test_a_connection_that_gives_no_token_is_not_asked_about(
    fake_salesforce: FakeSalesforce, connection: SalesforceConnection
) -> None:
    connection.status = connection.Status.BLOCKED

    ask_lifetime(connection, get_app())

    assert asked(fake_salesforce) == 0


@override_settings(SALESFORCE_OAUTH={**settings.SALESFORCE_OAUTH, "INTROSPECT": False})
def test_a_site_can_do_without(fake_salesforce: FakeSalesforce, connection: SalesforceConnection) -> None:
    ask_lifetime(connection, get_app())

    assert asked(fake_salesforce) == 0


def test_a_token_that_says_itself_when_it_ends_is_not_asked_about(
    fake_salesforce: FakeSalesforce, connection: SalesforceConnection
) -> None:
    connection.slides = False

    ask_lifetime(connection, get_app())

    assert asked(fake_salesforce) == 0


def test_what_was_renewed_meanwhile_is_left_alone(
    fake_salesforce: FakeSalesforce, connection: SalesforceConnection
) -> None:
    values: dict[str, Any] = {"generation": 9}
    SalesforceConnection.objects.update(**values)

    ask_lifetime(connection, get_app())

    assert lives(SalesforceConnection.objects.get())[0] is None
