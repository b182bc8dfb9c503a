"""What people see, and what cannot be done, while an operator has stopped the use of Salesforce."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from django_sf_oauth.models import ConnectAttempt, ConnectionEvent, Hold, SalesforceConnection
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection, make_user
from tests.journey import begin, code_of, come_back, connect, signed_in_client, the_connection

pytestmark = pytest.mark.django_db

HOME = "/salesforce/"
SCOPES = ["all", "app:default"]


def stop(scope: str = "all") -> Hold:
    return Hold.objects.create(scope=scope, reason="incident")


def page_of(client: Client, url: str = HOME) -> str:
    return client.get(url).content.decode()


# Connecting


@pytest.mark.parametrize("scope", SCOPES)
def test_nobody_begins_to_connect(fake_salesforce: FakeSalesforce, scope: str) -> None:
    stop(scope)

    response = signed_in_client().post("/salesforce/connect/", {"app": "default"})

    assert (response.status_code, code_of(response)) == (503, "stopped")
    assert response.headers["Retry-After"] == "60"
    assert "switched off on this site for now" in response.content.decode()
    assert not ConnectAttempt.objects.exists()


def test_an_app_that_is_not_stopped_can_be_connected(fake_salesforce: FakeSalesforce) -> None:
    stop("app:other")

    connect(signed_in_client(), fake_salesforce)

    assert the_connection().status == "active"


def test_a_connection_to_a_stopped_organization_is_not_renewed(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)
    stop(f"org:{the_connection().organization_id}")

    response = client.post(f"/salesforce/{the_connection().uuid}/reconnect/")

    assert (response.status_code, code_of(response)) == (503, "stopped")


@pytest.mark.parametrize("scope", SCOPES)
def test_whoever_comes_back_after_the_stop_is_not_connected(fake_salesforce: FakeSalesforce, scope: str) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))
    stop(scope)

    response = come_back(client, location)

    assert (response.status_code, code_of(response)) == (503, "stopped")
    assert fake_salesforce.token_requests == 0
    assert ConnectionEvent.objects.get().reason == "stopped"
    assert not SalesforceConnection.objects.exists()


def test_an_attempt_that_the_stop_met_cannot_be_used_later(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))
    hold = stop()
    come_back(client, location)
    hold.delete()

    assert code_of(come_back(client, location)) == "state_unknown"


def test_a_grant_of_a_stopped_organization_is_given_back(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))
    stop(f"org:{fake_salesforce.org.id}")

    response = come_back(client, location)

    assert (response.status_code, code_of(response)) == (503, "stopped")
    assert list(fake_salesforce.world.live_approvals()) == []
    assert not SalesforceConnection.objects.exists()


def test_a_renewal_that_the_stop_met_leaves_the_connection_as_it_was(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)
    before = the_connection()
    location = fake_salesforce.authorize(begin(client, before.uuid))
    asked = fake_salesforce.token_requests
    stop(f"org:{before.organization_id}")

    response = come_back(client, location)

    assert code_of(response) == "stopped"
    assert fake_salesforce.token_requests == asked
    assert (the_connection().generation, the_connection().refresh_token) == (1, before.refresh_token)


# The pages


def test_the_page_of_connections_does_not_say_connected() -> None:
    connection = make_connection(is_default=True)
    stop()

    page = page_of(signed_in_client(connection.user))

    assert "Switched off" in page
    assert ">Connected<" not in page
    assert "There is nothing that you have to do" in page


@pytest.mark.parametrize(("scope", "forms"), [("all", 0), ("app:default", 2), ("org:00D000000000001EAA", 3)])
def test_only_what_can_be_connected_has_a_button(scope: str, forms: int) -> None:
    stop(scope)

    page = page_of(signed_in_client())

    assert page.count('class="sf-oauth-hosts"') == forms
    assert page.count("so nobody can connect") == 3 - forms


def test_an_attempt_that_would_be_refused_is_not_offered_again(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    begin(client)
    stop()

    assert "Not finished yet" not in page_of(client)


def test_disconnecting_goes_on(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)
    stop()

    client.post(f"/salesforce/{the_connection().uuid}/disconnect/")

    assert the_connection().status == "disconnected"
    assert list(fake_salesforce.world.live_approvals()) == []


def test_when_it_is_released_all_goes_on(fake_salesforce: FakeSalesforce, settings: Any) -> None:
    client = signed_in_client(make_user())
    connect(client, fake_salesforce)
    stop().delete()

    assert ">Connected<" in page_of(client)
    assert the_connection().client().get("limits").status_code == 200
