"""The way back from Salesforce."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.core.signals import got_request_exception
from django.db import DatabaseError, connections
from django.http import HttpRequest
from django.test import Client, override_settings
from django.utils import timezone
from django.views.debug import ExceptionReporter

from django_sf_oauth import signals, transport
from django_sf_oauth.conf import get_app
from django_sf_oauth.models import ConnectAttempt, ConnectionEvent, PendingRevocation, SalesforceConnection
from django_sf_oauth.models.attempt import LIFETIME
from django_sf_oauth.protocol.identity import sign
from django_sf_oauth.services import callback as callback_service
from django_sf_oauth.services.revoking import revoke_pending
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection, make_user
from tests.journey import begin, code_of, come_back, connect, query_of, signed_in_client, the_connection

pytestmark = pytest.mark.django_db

Status = SalesforceConnection.Status
Kind = ConnectionEvent.Kind


def kinds_and_reasons() -> list[tuple[str, str]]:
    return list(ConnectionEvent.objects.order_by("pk").values_list("kind", "reason"))


def messages_of(client: Client) -> str:
    return client.get("/salesforce/").content.decode()


def hostile(fake: FakeSalesforce, *, signed: bool = True, **changes: Any) -> dict[str, Any]:
    """An answer like Salesforce's but for the changes; None leaves a member out. It comes next."""
    if changes.get("id"):
        changes["id"] = changes["id"].replace("ORG", fake.org.id).replace("USER", fake.user.id)
    answer: dict[str, Any] = {**fake.issue(), **changes}
    answer = {name: value for name, value in answer.items() if value is not None}
    if signed and "signature" not in changes:
        answer["signature"] = sign(
            get_app().client_secrets[0], str(answer.get("id", "")), str(answer["issued_at"])
        )
    fake.fail_next(status=200, body=json.dumps(answer), content_type="application/json")
    return answer


# It works


def test_a_user_connects(fake_salesforce: FakeSalesforce) -> None:
    user = make_user()
    client = signed_in_client(user)

    response = connect(client, fake_salesforce)

    connection = the_connection()
    assert (response.status_code, response.url) == (302, "/salesforce/")
    assert connection.user == user
    assert connection.app == "default"
    assert connection.organization_id == fake_salesforce.org.id
    assert connection.salesforce_user_id == fake_salesforce.user.id
    assert connection.status == Status.ACTIVE
    assert connection.is_default is True
    assert connection.generation == 1
    assert set(connection.scopes) == {"api", "refresh_token", "openid"}
    assert connection.login_url == "https://login.salesforce.com"
    assert connection.instance_url == f"https://{fake_salesforce.org.instance_host}"
    assert connection.next_refresh_at is not None
    assert connection.expires_at is not None
    assert connection.next_refresh_at < connection.expires_at
    assert fake_salesforce.token_requests == 1
    assert not ConnectAttempt.objects.exists()
    assert kinds_and_reasons() == [("connected", "")]
    assert ConnectionEvent.objects.get().actor == user


def test_the_new_connection_can_call_the_api(fake_salesforce: FakeSalesforce) -> None:
    connect(signed_in_client(), fake_salesforce)

    answer = the_connection().client().get("query", params={"q": "SELECT Id FROM Account"})

    assert answer.json()["totalSize"] == 12


def test_the_names_are_asked_for(fake_salesforce: FakeSalesforce) -> None:
    org = fake_salesforce.add_org("Acme UAT", my_domain="acme-uat.my.salesforce.com", is_sandbox=True)
    fake_salesforce.add_user("ada@acme.example.uat", org=org)

    connect(
        signed_in_client(),
        fake_salesforce,
        username="ada@acme.example.uat",
        login_host="acme-uat.my.salesforce.com",
    )

    connection = the_connection()
    assert connection.username == "ada@acme.example.uat"
    assert connection.organization_name == "Acme UAT"
    assert connection.is_sandbox is True


def test_the_user_comes_back_to_where_they_began(fake_salesforce: FakeSalesforce) -> None:
    response = connect(signed_in_client(), fake_salesforce, next="/accounts/?page=2")

    assert response.url == "/accounts/?page=2"


def test_the_name_of_a_view_is_no_place_to_come_back_to(fake_salesforce: FakeSalesforce) -> None:
    response = connect(signed_in_client(), fake_salesforce, next="login")

    assert (response.status_code, response.url) == (302, "/salesforce/")


def test_a_place_that_was_noted_is_taken_word_for_word(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))
    ConnectAttempt.objects.update(next_url="no-such-view")

    response = come_back(client, location)

    assert (response.status_code, response.url) == (302, "no-such-view")


def test_a_whole_url_of_this_site_is_a_place_to_come_back_to(fake_salesforce: FakeSalesforce) -> None:
    response = connect(signed_in_client(), fake_salesforce, next="http://testserver/accounts/")

    assert response.url == "http://testserver/accounts/"


def test_a_public_client_connects_without_a_secret(fake_salesforce: FakeSalesforce) -> None:
    connect(signed_in_client(), fake_salesforce, app="public")

    assert the_connection().app == "public"


def test_either_secret_may_have_signed_while_one_is_being_rotated(fake_salesforce: FakeSalesforce) -> None:
    newest = {"CLIENT_ID": get_app().client_id, "CLIENT_SECRET": ["brand-new-secret", *get_app().client_secrets]}
    with override_settings(SALESFORCE_OAUTH=newest):
        connect(signed_in_client(), fake_salesforce)

    assert the_connection().status == Status.ACTIVE


def test_an_answer_that_names_no_scope_grants_what_was_asked_for(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))
    hostile(fake_salesforce, scope=None)

    come_back(client, location)

    assert the_connection().scopes == ["api", "refresh_token", "openid"]


def test_a_second_org_is_a_connection_of_its_own(fake_salesforce: FakeSalesforce) -> None:
    org = fake_salesforce.add_org("Second", my_domain="second.my.salesforce.com")
    fake_salesforce.add_user("ada@second.example", org=org)
    client = signed_in_client()
    connect(client, fake_salesforce)

    connect(client, fake_salesforce, username="ada@second.example")

    assert SalesforceConnection.objects.count() == 2
    assert SalesforceConnection.objects.get(is_default=True).organization_id == fake_salesforce.org.id
    assert len(list(fake_salesforce.world.live_approvals())) == 2


def test_tabs_side_by_side_all_come_back(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    urls = [begin(client) for _ in range(3)]

    answers = [come_back(client, fake_salesforce.authorize(url)) for url in reversed(urls)]

    assert [answer.status_code for answer in answers] == [302, 302, 302]
    assert the_connection().generation == 3


def test_a_signed_cookie_session_serves_as_well(fake_salesforce: FakeSalesforce) -> None:
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"):
        connect(signed_in_client(), fake_salesforce)

    assert the_connection().status == Status.ACTIVE


# Connecting again


def test_a_reconnect_keeps_the_row_and_revokes_what_it_replaces(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)
    before = the_connection()
    before.status, before.reason = Status.RECONNECT_REQUIRED, "revoked"
    before.lease_owner, before.lease_until, before.failure_count = before.uuid, 2**50, 3
    before.save()

    connect(client, fake_salesforce, uuid=before.uuid)

    after = the_connection()
    assert (after.pk, after.uuid, after.created_at) == (before.pk, before.uuid, before.created_at)
    assert after.connected_at > before.connected_at
    assert after.generation == before.generation + 1
    assert (after.status, after.reason, after.failure_count) == (Status.ACTIVE, "", 0)
    assert (after.lease_owner, after.lease_until) == (None, None)
    assert after.is_default is True
    assert kinds_and_reasons() == [("connected", ""), ("reconnected", ""), ("revoked", "replaced")]
    assert len(list(fake_salesforce.world.live_approvals())) == 1
    assert not PendingRevocation.objects.exists()
    after.refresh()


def test_a_reconnect_elsewhere_moves_the_connection_there(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)

    connect(client, fake_salesforce, uuid=the_connection().uuid, login_host=fake_salesforce.org.my_domain)

    assert the_connection().login_url == f"https://{fake_salesforce.org.my_domain}"
    the_connection().refresh()


def test_what_is_replaced_is_revoked_later_when_salesforce_is_down(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)
    old = the_connection().refresh_token
    location = fake_salesforce.authorize(begin(client, the_connection().uuid))
    fake_salesforce.fail_next(where="revoke")

    come_back(client, location)

    pending = PendingRevocation.objects.get()
    assert old is not None
    assert pending.token is not None
    assert pending.token.reveal() == old.reveal()
    assert the_connection().status == Status.ACTIVE


def test_a_grant_that_salesforce_gave_twice_is_not_revoked(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)
    old = the_connection().refresh_token
    assert old is not None
    location = fake_salesforce.authorize(begin(client))
    hostile(fake_salesforce, refresh_token=old.reveal())

    come_back(client, location)

    assert the_connection().generation == 2
    assert [one.path for one in fake_salesforce.requests if "revoke" in one.path] == []


def test_a_grant_given_again_while_its_revocation_waits_is_not_revoked(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)
    old = the_connection().refresh_token
    assert old is not None
    fake_salesforce.maintenance = True
    the_connection().disconnect()
    fake_salesforce.maintenance = False
    location = fake_salesforce.authorize(begin(client))
    hostile(fake_salesforce, refresh_token=old.reveal())

    come_back(client, location)
    revoke_pending(everything=True)

    the_connection().refresh()
    assert not PendingRevocation.objects.exists()


def test_another_grant_of_the_connection_still_waits_to_be_revoked(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)
    fake_salesforce.maintenance = True
    the_connection().disconnect()
    fake_salesforce.maintenance = False

    connect(client, fake_salesforce)

    assert PendingRevocation.objects.exists()
    assert revoke_pending(everything=True) == {"revoked": 1}
    the_connection().refresh()


def test_a_connection_whose_token_no_key_opens_can_be_connected_again(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)

    with override_settings(FERNET_KEYS=["the only key left"]):
        connect(client, fake_salesforce, uuid=the_connection().uuid)
        token = the_connection().refresh_token

        assert token is not None
        assert token.reveal()


def test_a_disconnected_connection_becomes_the_default_again(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)
    the_connection().disconnect()

    connect(client, fake_salesforce, uuid=the_connection().uuid)

    assert the_connection().status == Status.ACTIVE
    assert the_connection().is_default is True


def test_signing_in_as_somebody_else_leaves_the_old_connection_waiting(fake_salesforce: FakeSalesforce) -> None:
    fake_salesforce.add_user("eve@acme-outdoor.example", name="Eve Stone")
    client = signed_in_client()
    connect(client, fake_salesforce)
    old = the_connection()
    SalesforceConnection.objects.update(status=Status.RECONNECT_REQUIRED, reason="revoked")

    connect(client, fake_salesforce, uuid=old.uuid, username="eve@acme-outdoor.example")

    new = SalesforceConnection.objects.exclude(pk=old.pk).get()
    old.refresh_from_db()
    page = messages_of(client)
    assert (old.status, old.reason, old.is_default) == (Status.RECONNECT_REQUIRED, "revoked", True)
    assert (new.status, new.is_default) == (Status.ACTIVE, None)
    assert ("identity_mismatch", "other_identity") in kinds_and_reasons()
    assert ConnectionEvent.objects.get(kind=Kind.IDENTITY_MISMATCH).connection == old
    assert "a connection of its own" in page
    assert "eve@acme-outdoor.example is connected." in page


def test_signing_in_to_another_org_instead_is_suspicious(fake_salesforce: FakeSalesforce) -> None:
    lure = fake_salesforce.add_org("Lure", my_domain="lure.my.salesforce.com")
    fake_salesforce.add_user("eve@lure.example", org=lure)
    client = signed_in_client()
    connect(client, fake_salesforce)
    old = the_connection()

    connect(client, fake_salesforce, uuid=old.uuid, username="eve@lure.example")

    event = ConnectionEvent.objects.get(kind=Kind.SUSPICIOUS)
    assert (event.connection, event.reason) == (old, "other_org")


def test_sharing_one_salesforce_user_is_warned_of(fake_salesforce: FakeSalesforce) -> None:
    connect(signed_in_client(), fake_salesforce)
    gone = signed_in_client()
    connect(gone, fake_salesforce)
    SalesforceConnection.objects.order_by("pk").last().disconnect()  # type: ignore[union-attr]  # there is one
    client = signed_in_client()

    connect(client, fake_salesforce)

    assert "1 other person on this site uses the same Salesforce user" in messages_of(client)


def test_connecting_alone_brings_no_warning(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()

    connect(client, fake_salesforce)

    assert "other person" not in messages_of(client)
    assert "connection of its own" not in messages_of(client)


@pytest.mark.django_db(transaction=True)
def test_signals_tell_of_it_after_the_commit(fake_salesforce: FakeSalesforce) -> None:
    seen: list[tuple[str, int, bool]] = []

    def note(name: str) -> Callable[..., None]:
        def receive(connection: SalesforceConnection, **kwargs: Any) -> None:
            in_block = connections["default"].in_atomic_block
            seen.append((name, connection.generation, in_block))

        return receive

    receivers = {"connected": note("connected"), "reconnected": note("reconnected")}
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver)
    client = signed_in_client()

    connect(client, fake_salesforce)
    connect(client, fake_salesforce)

    assert seen == [("connected", 1, False), ("reconnected", 2, False)]


# State


def test_state_is_accepted_once(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))
    come_back(client, location)

    again = come_back(client, location)

    assert (again.status_code, code_of(again)) == (400, "state_unknown")
    assert fake_salesforce.token_requests == 1
    assert kinds_and_reasons() == [("connected", ""), ("connect_failed", "state_unknown")]


def test_a_stale_state_is_refused(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))
    ConnectAttempt.objects.update(created_at=timezone.now() - LIFETIME - timedelta(seconds=1))

    response = come_back(client, location)

    assert code_of(response) == "state_unknown"
    assert fake_salesforce.token_requests == 0


def test_login_csrf_with_an_attackers_state_is_refused(fake_salesforce: FakeSalesforce) -> None:
    attacker, victim = signed_in_client(), signed_in_client()
    location = fake_salesforce.authorize(begin(attacker))

    response = come_back(victim, location)

    assert (response.status_code, code_of(response)) == (403, "state_foreign")
    assert fake_salesforce.token_requests == 0
    assert not SalesforceConnection.objects.exists()
    assert not ConnectAttempt.objects.exists()
    event = ConnectionEvent.objects.get()
    assert (event.reason, event.connection) == ("state_foreign", None)


def test_a_state_of_another_user_of_the_same_browser_is_refused(fake_salesforce: FakeSalesforce) -> None:
    first, second = signed_in_client(), signed_in_client()
    location = fake_salesforce.authorize(begin(first))
    session = second.session
    session["sf_oauth_browser"] = first.session["sf_oauth_browser"]
    session.save()

    response = come_back(second, location)

    assert code_of(response) == "state_foreign"
    assert fake_salesforce.token_requests == 0


@pytest.mark.parametrize("has_a_mark", [True, False], ids=["own-mark", "no-mark"])
def test_a_state_stolen_into_another_browser_is_refused(fake_salesforce: FakeSalesforce, has_a_mark: bool) -> None:
    user = make_user()
    location = fake_salesforce.authorize(begin(signed_in_client(user)))
    other_browser = signed_in_client(user)
    if has_a_mark:
        begin(other_browser)

    response = come_back(other_browser, location)

    assert code_of(response) == "state_foreign"
    assert fake_salesforce.token_requests == 0


def test_somebody_who_was_signed_out_gets_no_connection(fake_salesforce: FakeSalesforce) -> None:
    user = make_user()
    client = signed_in_client(user)
    location = fake_salesforce.authorize(begin(client))
    client.logout()

    response = come_back(client, location)

    assert (response.status_code, code_of(response)) == (403, "signed_out")
    assert query_of(location)["code"] not in response.content.decode()
    assert fake_salesforce.token_requests == 0
    assert ConnectionEvent.objects.get().user == user


def test_anonymous_visits_leave_no_trace_in_the_audit() -> None:
    response = Client().get("/salesforce/callback/", {"state": "made-up", "code": "made-up"})

    assert code_of(response) == "signed_out"
    assert not ConnectionEvent.objects.exists()


@pytest.mark.parametrize(
    ("query", "code"),
    [
        pytest.param("", "state_missing", id="nothing"),
        pytest.param("code=aPrx", "state_missing", id="no-state"),
        pytest.param("code=aPrx&state=", "state_missing", id="empty-state"),
        pytest.param("code=a&state=s&state=t", "malformed_callback", id="doubled-state"),
        pytest.param("code=a&code=b&state=s", "malformed_callback", id="doubled-code"),
        pytest.param("code=a&error=access_denied&state=s", "malformed_callback", id="code-and-error"),
        pytest.param("state=s", "malformed_callback", id="state-alone"),
        pytest.param("code=a%0ab&state=s", "malformed_callback", id="control-character"),
        pytest.param(f"code={'a' * 5000}&state=s", "malformed_callback", id="too-long"),
        pytest.param("code=a&state=made-up", "state_unknown", id="made-up"),
    ],
)
def test_a_made_up_callback_is_refused_unasked(fake_salesforce: FakeSalesforce, query: str, code: str) -> None:
    response = signed_in_client().get(f"/salesforce/callback/?{query}")

    assert (response.status_code, code_of(response)) == (400, code)
    assert fake_salesforce.requests == []
    assert kinds_and_reasons() == [("connect_failed", code)]


def test_a_flood_of_callbacks_is_stopped_without_filling_the_audit(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    for _ in range(30):
        client.get("/salesforce/callback/?code=a&state=made-up")

    response = client.get("/salesforce/callback/?code=a&state=made-up")

    assert (response.status_code, code_of(response)) == (429, "rate_limited")
    assert response.headers["Retry-After"] == "60"
    assert ConnectionEvent.objects.count() == 30


def in_parallel(client: Client, locations: list[str]) -> list[Any]:
    """Visits each location in a thread of its own, all at once, as tabs of one browser."""
    barrier = threading.Barrier(len(locations), timeout=10)

    def visit(location: str) -> Any:
        tab = Client()
        tab.cookies = client.cookies
        barrier.wait()
        try:
            return come_back(tab, location)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(locations)) as pool:
        return list(pool.map(visit, locations))


@pytest.mark.django_db(transaction=True)
def test_the_callback_twice_in_parallel_is_one_exchange(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))

    answers = in_parallel(client, [location, location])

    assert sorted(answer.status_code for answer in answers) == [302, 400]
    assert fake_salesforce.token_requests == 1
    assert the_connection().generation == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("before", [0, 1], ids=["first", "again"])
def test_tabs_that_come_back_at_once_make_one_connection(fake_salesforce: FakeSalesforce, before: int) -> None:
    client = signed_in_client()
    for _ in range(before):
        connect(client, fake_salesforce)
    locations = [fake_salesforce.authorize(begin(client)) for _ in range(2)]

    answers = in_parallel(client, locations)

    assert [answer.status_code for answer in answers] == [302, 302]
    assert the_connection().generation == 2 + before
    assert the_connection().is_default is True
    assert len(list(fake_salesforce.world.live_approvals())) == 1


@pytest.mark.django_db(transaction=True)
def test_the_state_stays_spent_when_the_view_fails(fake_salesforce: FakeSalesforce) -> None:
    databases = connections["default"].settings_dict
    client = signed_in_client(raise_request_exception=False)
    location = fake_salesforce.authorize(begin(client))

    with (
        mock.patch.dict(databases, ATOMIC_REQUESTS=True),
        mock.patch.object(callback_service, "enrich", side_effect=RuntimeError("bug")),
    ):
        response = come_back(client, location)

    assert response.status_code == 500
    assert not ConnectAttempt.objects.exists()
    assert the_connection().status == Status.ACTIVE


# What Salesforce says


@pytest.mark.parametrize(
    ("bar", "status", "code"),
    [
        ("blocked", 403, "app_blocked"),
        ("not_approved", 403, "not_approved"),
        ("not_installed", 403, "app_not_installed"),
    ],
)
def test_an_admins_bar_is_told_in_plain_words(
    fake_salesforce: FakeSalesforce, bar: str, status: int, code: str
) -> None:
    fake_salesforce.block_app(bar)

    response = connect(signed_in_client(), fake_salesforce)

    assert (response.status_code, code_of(response)) == (status, code)
    assert "Salesforce administrator" in response.content.decode()
    assert fake_salesforce.token_requests == 0
    assert kinds_and_reasons() == [("connect_failed", code)]


def test_a_denied_consent_can_be_tried_again(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    url = begin(client, login_host="acme-outdoor.my.salesforce.com", next="/accounts/")

    response = come_back(client, fake_salesforce.authorize(url, allow=False))

    page = response.content.decode()
    assert (response.status_code, code_of(response)) == (400, "access_denied")
    assert '<input type="hidden" name="login_host" value="acme-outdoor.my.salesforce.com">' in page
    assert '<input type="hidden" name="next" value="/accounts/">' in page
    assert 'action="/salesforce/connect/"' in page


def test_a_failed_reconnect_is_in_the_connections_history(fake_salesforce: FakeSalesforce) -> None:
    connection = make_connection()
    client = signed_in_client(connection.user)

    response = come_back(client, fake_salesforce.authorize(begin(client, connection.uuid), allow=False))

    assert f'action="/salesforce/{connection.uuid}/reconnect/"' in response.content.decode()
    assert ConnectionEvent.objects.get().connection == connection


@pytest.mark.parametrize(
    ("error", "description", "code", "status"),
    [
        ("access-denied", "", "access_denied", 400),
        ("OAUTH_APP_BLOCKED", "this app is blocked by admin", "app_blocked", 403),
        ("OAUTH_APP_ACCESS_DENIED", "user is not admin approved", "not_approved", 403),
        ("invalid_scope", "", "invalid_scope", 502),
        ("redirect_uri_mismatch", "", "misconfigured", 502),
        ("invalid_client_id", "", "invalid_client", 502),
        ("immediate_unsuccessful", "", "code_expired", 400),
        ("server_error", "", "temporarily_unavailable", 503),
        ("<script>alert(1)</script>", "<b>You won</b>", "unknown", 400),
    ],
)
def test_an_error_on_the_callback_is_told_in_our_own_words(
    fake_salesforce: FakeSalesforce, error: str, description: str, code: str, status: int
) -> None:
    client = signed_in_client()
    state = query_of(begin(client))["state"]

    response = client.get(
        "/salesforce/callback/", {"state": state, "error": error, "error_description": description}
    )

    assert (response.status_code, code_of(response)) == (status, code)
    assert "You won" not in response.content.decode()
    assert fake_salesforce.requests == []
    assert not SalesforceConnection.objects.exists()


@pytest.mark.parametrize(
    ("error", "description", "code", "status"),
    [
        ("invalid_grant", "expired authorization code", "code_expired", 400),
        ("invalid_grant", "invalid authorization code", "code_expired", 400),
        ("invalid_grant", "invalid code verifier", "code_expired", 400),
        ("invalid_grant", "inactive user", "inactive_user", 403),
        ("invalid_grant", "inactive organization", "inactive_org", 403),
        ("invalid_grant", "ip restricted", "ip_restricted", 403),
        ("invalid_grant", "ip restricted by app developer", "misconfigured", 502),
        ("invalid_grant", "authentication failure", "unknown", 400),
        ("invalid_client", "invalid client credentials", "invalid_client", 502),
        ("invalid_client_id", "client identifier invalid", "invalid_client", 502),
        ("invalid_app_access", "user is not admin approved to access this app", "not_approved", 403),
        ("unknown_error", "retry your request", "temporarily_unavailable", 503),
        ("something_new", "", "unknown", 400),
    ],
)
def test_a_refused_exchange_stores_nothing(
    fake_salesforce: FakeSalesforce, error: str, description: str, code: str, status: int
) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))
    body = json.dumps({"error": error, "error_description": description})
    fake_salesforce.fail_next(status=400, body=body, content_type="application/json")

    response = come_back(client, location)

    assert (response.status_code, code_of(response)) == (status, code)
    assert not SalesforceConnection.objects.exists()
    assert fake_salesforce.token_requests == 1
    assert kinds_and_reasons() == [("connect_failed", code)]


@pytest.mark.parametrize(
    ("answer", "code", "status"),
    [
        pytest.param({"status": 503, "body": "<h1>Down</h1>"}, "temporarily_unavailable", 503, id="maintenance"),
        pytest.param({"status": 429}, "temporarily_unavailable", 503, id="too-many-requests"),
        pytest.param({"status": 200, "body": "<html>login</html>"}, "malformed_answer", 502, id="html"),
        pytest.param({"status": 200, "body": "null"}, "malformed_answer", 502, id="null"),
        pytest.param({"status": 200, "body": ""}, "malformed_answer", 502, id="empty"),
        pytest.param({"status": 200, "body": '{"access_token": 5}'}, "malformed_answer", 502, id="number"),
        pytest.param({"status": 200, "body": "x" * 300_000}, "malformed_answer", 502, id="too-large"),
        pytest.param(
            {"status": 307, "headers": {"Location": "https://evil.example/"}},
            "malformed_answer",
            502,
            id="redirect",
        ),
    ],
)
def test_an_answer_that_is_none_stores_nothing(
    fake_salesforce: FakeSalesforce, answer: dict[str, Any], code: str, status: int
) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))
    fake_salesforce.fail_next(**answer)

    response = come_back(client, location)

    assert (response.status_code, code_of(response)) == (status, code)
    assert not SalesforceConnection.objects.exists()
    assert fake_salesforce.token_requests == 1


# What is verified


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"signature": "forged"}, "bad_signature", id="forged-signature"),
        pytest.param({"signature": None}, "bad_signature", id="no-signature"),
        pytest.param({"issued_at": "", "signature": None}, "bad_signature", id="nothing-signed"),
        pytest.param(
            {"id": "https://evil.example/id/ORG/USER"},
            "wrong_identity",
            id="id-of-a-foreign-host",
        ),
        pytest.param(
            {"id": "http://login.salesforce.com/id/ORG/USER"},
            "wrong_identity",
            id="id-in-clear",
        ),
        pytest.param({"id": "https://login.salesforce.com/id/USER"}, "wrong_identity", id="no-identity-url"),
        pytest.param(
            {"id": "https://login.salesforce.com/id/00D000000000999EAA/005000000000001AAA"},
            "wrong_identity",
            id="bad-checksum",
        ),
        pytest.param(
            {"instance_url": "https://acme.my.salesforce.com.evil.example"},
            "untrusted_instance",
            id="instance-by-suffix-in-the-middle",
        ),
        pytest.param({"instance_url": "https://evil.example"}, "untrusted_instance", id="foreign-instance"),
        pytest.param(
            {"instance_url": "http://acme.my.salesforce.com"}, "untrusted_instance", id="instance-in-clear"
        ),
        pytest.param(
            {"instance_url": "https://acme.my.salesforce.com@evil.example"}, "untrusted_instance", id="userinfo"
        ),
        pytest.param({"instance_url": "https://acme.my.salesforce.com:8443"}, "untrusted_instance", id="odd-port"),
        pytest.param({"instance_url": None}, "untrusted_instance", id="no-instance"),
        pytest.param(
            {"access_token": "00D9z0000009999!token.of.another.org"}, "wrong_identity", id="token-of-another-org"
        ),
        pytest.param({"refresh_token": None}, "missing_refresh_token", id="no-refresh-token"),
        pytest.param({"refresh_token": ""}, "missing_refresh_token", id="empty-refresh-token"),
        pytest.param({"scope": "api openid"}, "missing_refresh_token", id="scope-without-refresh-token"),
        pytest.param({"scope": "refresh_token"}, "missing_scopes", id="missing-scopes"),
    ],
)
def test_a_hostile_answer_stores_nothing_and_gives_the_grant_back(
    fake_salesforce: FakeSalesforce, changes: dict[str, Any], code: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))
    answer = hostile(fake_salesforce, **changes)

    with caplog.at_level(logging.DEBUG):
        response = come_back(client, location)

    page = response.content.decode()
    revocations = [one for one in fake_salesforce.requests if one.path == "/services/oauth2/revoke"]
    assert code_of(response) == code
    assert not SalesforceConnection.objects.exists()
    assert not PendingRevocation.objects.exists()
    assert fake_salesforce.token_requests == 1
    assert [one.host for one in revocations] == ["login.salesforce.com"]
    assert kinds_and_reasons() == [("connect_failed", code)]
    for secret in filter(
        None, (answer.get("access_token"), answer.get("refresh_token"), query_of(location)["code"])
    ):
        assert secret not in page
        assert secret not in caplog.text
        assert secret not in str(ConnectionEvent.objects.values().get())


def test_a_missing_scope_is_named(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))
    hostile(fake_salesforce, scope="refresh_token")

    page = come_back(client, location).content.decode()

    assert "Missing: api, openid." in page


def test_a_missing_refresh_token_names_the_setting(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))
    hostile(fake_salesforce, refresh_token=None)

    page = come_back(client, location).content.decode()

    assert "Perform requests at any time (refresh_token, offline_access)" in page
    assert "Salesforce calls the scope refresh_token or offline_access" in page


def test_offline_access_counts_as_refresh_token(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))
    hostile(fake_salesforce, scope="api openid offline_access")

    come_back(client, location)

    assert the_connection().scopes == ["api", "openid", "offline_access"]


def test_a_jwt_is_not_asked_for_its_org(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))
    hostile(fake_salesforce, access_token="header.claims.signature")

    come_back(client, location)

    assert the_connection().organization_id == fake_salesforce.org.id


def test_ids_of_fifteen_characters_are_stored_with_eighteen(fake_salesforce: FakeSalesforce) -> None:
    org, user = fake_salesforce.org.id, fake_salesforce.user.id
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))
    hostile(fake_salesforce, id=f"https://login.salesforce.com/id/{org[:15]}/{user[:15]}")

    come_back(client, location)

    assert (the_connection().organization_id, the_connection().salesforce_user_id) == (org, user)


def test_trouble_of_the_site_itself_is_logged_as_an_error(
    fake_salesforce: FakeSalesforce, caplog: pytest.LogCaptureFixture
) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))
    fake_salesforce.rotate_secret("another", keep_old=False)

    come_back(client, location)

    assert "connecting failed code=invalid_client app=default" in caplog.text
    assert logging.ERROR in {record.levelno for record in caplog.records}


def test_a_grant_is_given_back_when_the_database_fails(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))

    with mock.patch.object(callback_service, "store", side_effect=DatabaseError), pytest.raises(DatabaseError):
        come_back(client, location)

    assert list(fake_salesforce.world.live_approvals()) == []


def test_a_refused_answer_that_repeats_a_stored_grant_does_not_end_it(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)
    stored = the_connection().refresh_token
    assert stored is not None
    location = fake_salesforce.authorize(begin(client))
    hostile(fake_salesforce, instance_url="https://evil.example", refresh_token=stored.reveal())

    response = come_back(client, location)

    assert code_of(response) == "untrusted_instance"
    assert [one.path for one in fake_salesforce.requests if "revoke" in one.path] == []
    the_connection().refresh()


def test_a_refused_grant_is_given_back_beside_a_connection_that_no_key_opens(
    fake_salesforce: FakeSalesforce,
) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)
    with override_settings(FERNET_KEYS=["the only key left"]):
        location = fake_salesforce.authorize(begin(client))
        hostile(fake_salesforce, instance_url="https://evil.example")

        response = come_back(client, location)

    assert code_of(response) == "untrusted_instance"
    assert len([one for one in fake_salesforce.requests if "revoke" in one.path]) == 1


def test_giving_a_grant_back_takes_no_longer_than_somebody_waits(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))
    hostile(fake_salesforce, instance_url="https://evil.example")

    with mock.patch.object(transport, "revoke") as revoke:
        come_back(client, location)

    [call] = revoke.call_args_list
    assert call.args[0].timeouts.total == get_app().timeouts.wait


def test_a_replica_that_lags_hides_no_attempt() -> None:
    state = query_of(begin(signed_in_client()))["state"]
    replicas = mock.Mock(spec=["db_for_read"])

    with override_settings(DATABASE_ROUTERS=[replicas]):
        attempt = ConnectAttempt.objects.consume(state)

    assert attempt is not None
    replicas.db_for_read.assert_not_called()


# The site changed meanwhile


def test_an_attempt_whose_keys_are_gone_is_begun_again(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))

    with override_settings(FERNET_KEYS=["entirely-new"]):
        response = come_back(client, location)

    assert code_of(response) == "state_unknown"
    assert fake_salesforce.token_requests == 0


def test_an_attempt_at_a_host_that_lost_its_trust_is_refused(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client))
    ConnectAttempt.objects.update(login_url="https://formerly-trusted.example")

    response = come_back(client, location)

    assert code_of(response) == "misconfigured"
    assert fake_salesforce.token_requests == 0


def test_an_attempt_of_an_app_that_was_removed_is_refused(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    location = fake_salesforce.authorize(begin(client, app="other"))

    with override_settings(SALESFORCE_OAUTH={"CLIENT_ID": "id", "CLIENT_SECRET": "secret"}):
        response = come_back(client, location)

    assert code_of(response) == "unknown_app"


def test_a_connection_deleted_meanwhile_is_made_anew(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)
    location = fake_salesforce.authorize(begin(client, the_connection().uuid))
    the_connection().delete()

    come_back(client, location)

    assert the_connection().generation == 1
    assert Kind.IDENTITY_MISMATCH not in {kind for kind, _reason in kinds_and_reasons()}


def test_the_error_report_of_a_bug_holds_neither_code_nor_state_nor_token(fake_salesforce: FakeSalesforce) -> None:
    reports: list[str] = []

    def report(request: HttpRequest, **kwargs: Any) -> None:
        kind, value, traceback = sys.exc_info()
        reporter = ExceptionReporter(request, kind, value, traceback, is_email=True)
        reports.append(reporter.get_traceback_html() + reporter.get_traceback_text())

    got_request_exception.connect(report)
    client = signed_in_client(raise_request_exception=False)
    location = fake_salesforce.authorize(begin(client))
    client.defaults |= {"RAW_URI": location, "REQUEST_URI": location}  # as gunicorn and uWSGI name it
    with mock.patch.object(callback_service, "enrich", side_effect=RuntimeError("bug")):
        come_back(client, location)

    stored = the_connection()
    assert stored.access_token is not None
    assert stored.refresh_token is not None
    secrets = [stored.access_token.reveal(), stored.refresh_token.reveal(), *query_of(location).values()]
    assert "RuntimeError" in reports[0]
    assert [secret for secret in secrets if secret in reports[0]] == []
