"""The words for the state of a connection."""

from __future__ import annotations

import pytest
from django.test import override_settings

from django_sf_oauth.models import Hold, SalesforceConnection
from django_sf_oauth.protocol.classification import TABLE, Actor
from django_sf_oauth.services.advice import ANY_REASON, Tone, advise
from tests.factories import make_connection

pytestmark = pytest.mark.django_db

Status = SalesforceConnection.Status
DEAD = sorted({rule.reason for rule in TABLE if rule.actor is Actor.USER} | {"rotation_lost", "unreadable"})
BLOCKED = sorted({rule.reason for rule in TABLE if rule.actor is Actor.CUSTOMER_ADMIN})


def test_a_working_connection_needs_nothing() -> None:
    advice = advise(make_connection())

    assert (advice.tone, advice.label, advice.text, advice.button) == (Tone.GOOD, "Connected", "", "")


def test_a_connection_whose_verdict_is_withheld_asks_nothing_of_its_user() -> None:
    advice = advise(make_connection(withheld="unreadable"))

    assert (advice.tone, advice.label, advice.button) == (Tone.BLOCKED, "Interrupted", "")
    assert "nothing that you have to do" in str(advice.text)


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.RECONNECT_REQUIRED, Status.BLOCKED])
@pytest.mark.parametrize("scope", ["all", "app:default", "org:00D000000000001EAA"])
def test_a_connection_that_an_operator_stopped_says_so_and_asks_nothing(status: str, scope: str) -> None:
    connection = make_connection(status=status, reason="revoked")
    Hold.objects.create(scope=scope, reason="incident")

    advice = advise(connection)

    assert (advice.tone, advice.label, advice.button) == (Tone.BLOCKED, "Switched off", "")
    assert "nothing that you have to do" in str(advice.text)


def test_what_was_given_up_cannot_be_connected_while_it_is_stopped() -> None:
    connection = make_connection(status=Status.DISCONNECTED)
    Hold.objects.create(scope="all", reason="incident")

    advice = advise(connection)

    assert (advice.label, advice.button) == ("Disconnected", "")


@pytest.mark.parametrize("reason", DEAD)
def test_a_dead_grant_says_why(reason: str) -> None:
    advice = advise(make_connection(status=Status.RECONNECT_REQUIRED, reason=reason))

    assert (advice.tone, advice.button) == (Tone.ACT, "Reconnect")
    assert advice.text != ANY_REASON


def test_a_dead_grant_of_an_unknown_reason_is_spoken_of_too() -> None:
    assert advise(make_connection(status=Status.RECONNECT_REQUIRED, reason="unknown")).text == ANY_REASON


@pytest.mark.parametrize("reason", [*BLOCKED, "made-up"])
def test_a_blocked_connection_names_the_admin(reason: str) -> None:
    advice = advise(make_connection(status=Status.BLOCKED, reason=reason))

    assert (advice.tone, advice.button) == (Tone.BLOCKED, "Try again")
    assert "Your Salesforce administrator can" in str(advice.text)


def test_a_disconnected_one_can_be_connected_again() -> None:
    advice = advise(make_connection(status=Status.DISCONNECTED))

    assert (advice.tone, advice.label, advice.button) == (Tone.OFF, "Disconnected", "Connect again")


def test_a_permission_that_the_site_asks_for_now_is_named() -> None:
    connection = make_connection(scopes=["api", "refresh_token"])
    with override_settings(
        SALESFORCE_OAUTH={"CLIENT_ID": "id", "CLIENT_SECRET": None, "SCOPES": "api refresh_token web"}
    ):
        advice = advise(connection)

    assert (advice.tone, advice.button) == (Tone.ACT, "Reconnect")
    assert str(advice.text).endswith("web.")


def test_a_connection_of_an_app_that_was_removed_is_shown_all_the_same() -> None:
    assert advise(make_connection(app="removed")).tone == Tone.GOOD
