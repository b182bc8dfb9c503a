"""The way to Salesforce."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connections
from django.test import override_settings
from django.utils import timezone

from django_sf_oauth.conf import get_app
from django_sf_oauth.exceptions import ConnectFailed
from django_sf_oauth.models import ConnectAttempt
from django_sf_oauth.models.attempt import LIFETIME, digest
from django_sf_oauth.protocol.authorize import AuthorizationRequest, CallbackError, code_challenge
from django_sf_oauth.services.callback import finish
from django_sf_oauth.services.connect import start
from tests.factories import make_connection, make_user
from tests.journey import query_of

pytestmark = pytest.mark.django_db

REDIRECT_URI = "https://site.example/salesforce/callback/"


def begin(user: Any = None, **values: Any) -> AuthorizationRequest:
    return start(user=user or make_user(), browser="mark", redirect_uri=REDIRECT_URI, **values)


def refused(user: Any = None, **values: Any) -> str:
    with pytest.raises(ConnectFailed) as caught:
        begin(user, **values)
    return caught.value.code


def settings_with(**values: Any) -> Any:
    return override_settings(SALESFORCE_OAUTH={"CLIENT_ID": "id", "CLIENT_SECRET": "secret", **values})


def test_the_request_asks_for_the_apps_scopes_with_pkce() -> None:
    url = begin().url()

    query = query_of(url)
    attempt = ConnectAttempt.objects.get()
    assert url.startswith("https://login.salesforce.com/services/oauth2/authorize?")
    assert query["client_id"] == "3MVG9.test.client"
    assert query["redirect_uri"] == REDIRECT_URI
    assert query["scope"] == "api refresh_token openid"
    assert query["code_challenge_method"] == "S256"
    assert attempt.verifier is not None
    assert query["code_challenge"] == code_challenge(attempt.verifier.reveal())
    assert "client_secret" not in query


def test_a_stolen_table_cannot_finish_an_attempt() -> None:
    request = begin()

    stored = ConnectAttempt.objects.values().get()
    assert stored["state_digest"] == digest(request.state)
    assert stored["browser_digest"] == digest("mark")
    assert request.state not in str(stored)
    assert repr(stored["verifier"]) == "••••••••"


def test_state_and_verifier_are_of_characters_that_salesforce_takes() -> None:
    request = begin()

    attempt = ConnectAttempt.objects.get()
    assert attempt.verifier is not None
    assert len(request.state) == 43
    assert len(attempt.verifier.reveal()) == 86
    assert "~" not in attempt.verifier.reveal()


def test_several_tabs_have_attempts_of_their_own() -> None:
    user = make_user()

    states = {begin(user).state for _ in range(3)}

    assert len(states) == 3
    assert ConnectAttempt.objects.open().filter(user=user).count() == 3


def test_attempts_that_are_too_old_are_swept_away_with_the_next() -> None:
    user = make_user()
    begin(user)
    begin()
    ConnectAttempt.objects.update(created_at=timezone.now() - LIFETIME)

    begin(user)

    assert ConnectAttempt.objects.filter(user=user).count() == 1
    assert ConnectAttempt.objects.count() == 2


def test_the_apps_own_redirect_uri_is_taken_word_for_word() -> None:
    with settings_with(REDIRECT_URI="https://www.site.example/sf"):
        request = begin()

    assert request.redirect_uri == "https://www.site.example/sf"
    assert ConnectAttempt.objects.get().redirect_uri == "https://www.site.example/sf"


@pytest.mark.parametrize(
    ("login_host", "login_url"),
    [
        pytest.param("", "https://login.salesforce.com", id="as-the-settings-say"),
        pytest.param("test.salesforce.com", "https://test.salesforce.com", id="sandbox"),
        pytest.param("acme.my.salesforce.com", "https://acme.my.salesforce.com", id="my-domain"),
        pytest.param(
            "acme--uat.sandbox.my.salesforce.com",
            "https://acme--uat.sandbox.my.salesforce.com",
            id="sandbox-my-domain",
        ),
        pytest.param(" ACME.my.salesforce.com ", "https://acme.my.salesforce.com", id="sloppily-typed"),
        pytest.param("https://acme.my.salesforce.com/", "https://acme.my.salesforce.com", id="pasted-address"),
        pytest.param("login.salesforce.com", "https://login.salesforce.com", id="the-default-by-name"),
    ],
)
def test_the_user_chooses_where_to_sign_in(login_host: str, login_url: str) -> None:
    request = begin(login_host=login_host)

    assert request.login_url == login_url
    assert ConnectAttempt.objects.get().login_url == login_url


@pytest.mark.parametrize(
    "login_host",
    [
        pytest.param("evil.example", id="foreign"),
        pytest.param("my.salesforce.com.evil.example", id="suffix-in-the-middle"),
        pytest.param("evilsalesforce.com", id="no-label-boundary"),
        pytest.param("acme.my.salesforce.com@evil.example", id="userinfo"),
        pytest.param("https://login.salesforce.com@evil.example", id="userinfo-in-an-address"),
        pytest.param("acme.my.salesforce.com:8443", id="odd-port"),
        pytest.param("evil.example\\.my.salesforce.com", id="backslash"),
        pytest.param("127.0.0.1", id="loopback-that-nobody-trusts"),
        pytest.param("acme.lightning.force.com", id="no-login-host"),
        pytest.param("a b", id="blank"),
    ],
)
def test_a_consumer_secret_is_not_sent_to_a_host_of_the_users_choice(login_host: str) -> None:
    assert refused(login_host=login_host) == "bad_login_host"
    assert not ConnectAttempt.objects.exists()


def test_a_trusted_host_keeps_the_scheme_and_port_of_the_settings() -> None:
    with settings_with(LOGIN_URL="http://127.0.0.1:8001", TRUSTED_HOSTS=["127.0.0.1:8001"]):
        by_default, by_name = begin(), begin(login_host="127.0.0.1:8001")

    assert by_default.login_url == by_name.login_url == "http://127.0.0.1:8001"


def test_a_login_url_that_the_settings_do_not_trust_is_refused() -> None:
    with settings_with(LOGIN_URL="https://fake.example"):
        assert refused() == "bad_login_host"


def test_a_reconnect_goes_where_the_connection_came_from() -> None:
    connection = make_connection(
        app="other", login_url="https://acme.my.salesforce.com", username="ada@acme.example"
    )

    request = begin(connection.user, connection=connection, app="default")

    attempt = ConnectAttempt.objects.get()
    assert request.login_url == "https://acme.my.salesforce.com"
    assert request.client_id == "3MVG9.other.client"
    assert query_of(request.url())["login_hint"] == "ada@acme.example"
    assert (attempt.app, attempt.connection) == ("other", connection)


def test_who_connects_another_org_has_to_sign_in_there() -> None:
    # Salesforce's open session would otherwise return the same org at once.
    connection = make_connection()

    first = begin()
    another = begin(user=connection.user)
    again = begin(user=connection.user, connection=connection)

    assert (first.prompt, another.prompt, again.prompt) == (None, "login", None)


def test_a_reconnect_may_go_elsewhere_and_name_another_user() -> None:
    connection = make_connection()

    request = begin(
        connection.user, connection=connection, login_host="test.salesforce.com", login_hint="eve@x.example"
    )

    assert request.login_url == "https://test.salesforce.com"
    assert request.login_hint == "eve@x.example"


def test_a_stored_login_url_that_is_no_longer_trusted_is_refused() -> None:
    connection = make_connection(login_url="https://formerly-trusted.example")

    assert refused(connection.user, connection=connection) == "bad_login_host"


def test_the_first_app_is_meant_when_none_is_named() -> None:
    with override_settings(
        SALESFORCE_OAUTH={
            "APPS": {
                "one": {"CLIENT_ID": "1", "CLIENT_SECRET": None},
                "two": {"CLIENT_ID": "2", "CLIENT_SECRET": None},
            }
        }
    ):
        assert begin().client_id == "1"
        assert begin(app="two").client_id == "2"


@pytest.mark.parametrize(
    "configured", [{"APPS": {"one": {"CLIENT_ID": "1", "CLIENT_SECRET": None}}}, {}], ids=["other-name", "no-app"]
)
def test_an_unknown_app_is_refused(configured: dict[str, Any]) -> None:
    with override_settings(SALESFORCE_OAUTH=configured):
        assert refused(app="nosuch") == "unknown_app"


def test_a_site_without_any_app_says_so() -> None:
    with override_settings(SALESFORCE_OAUTH={}):
        assert refused() == "unknown_app"


def test_a_flood_of_attempts_is_stopped_per_user() -> None:
    user = make_user()
    with settings_with(RATE_LIMITS={"connect": "2/m"}):
        begin(user)
        begin(user)

        assert refused(user) == "rate_limited"
        begin()
        ConnectAttempt.objects.filter(user=user).update(created_at=timezone.now() - timedelta(seconds=61))
        begin(user)


def try_to_begin(user: Any, gate: threading.Barrier) -> str:
    gate.wait(timeout=30)
    try:
        begin(user)
    except ConnectFailed as failure:
        return failure.code
    finally:
        connections.close_all()
    return "begun"


@pytest.mark.django_db(transaction=True)
def test_a_flood_at_one_moment_passes_no_more_than_one_after_the_other() -> None:
    user, gate = make_user(), threading.Barrier(8)
    with settings_with(RATE_LIMITS={"connect": "3/m"}), ThreadPoolExecutor(8) as threads:
        ended = [one.result() for one in [threads.submit(try_to_begin, user, gate) for _ in range(8)]]

    assert Counter(ended) == {"begun": 3, "rate_limited": 5}
    assert ConnectAttempt.objects.count() == 3


def test_a_callback_buys_no_further_attempt() -> None:
    user = make_user()
    with settings_with(RATE_LIMITS={"connect": "2/m", "callback": None}):
        for _ in range(2):
            state = query_of(begin(user).url())["state"]
            said = CallbackError(error="access_denied", description="", state=state)
            with pytest.raises(ConnectFailed):
                finish(user=user, browser="mark", callback=said)

        assert refused(user) == "rate_limited"
    assert not ConnectAttempt.objects.exists()


@pytest.mark.parametrize("app", ["", "other"], ids=["same-app", "beside-another-app"])
def test_a_window_longer_than_an_attempt_lives_holds(app: str) -> None:
    user = make_user()
    other = {"CLIENT_ID": "2", "CLIENT_SECRET": "secret", "RATE_LIMITS": {"connect": "20/m"}}
    with settings_with(RATE_LIMITS={"connect": "2/h"}, APPS={"other": other}):
        for _ in range(2):
            begin(user, app=app)
            ConnectAttempt.objects.update(created_at=timezone.now() - timedelta(minutes=59))

        assert refused(user) == "rate_limited"
        ConnectAttempt.objects.update(created_at=timezone.now() - timedelta(minutes=60))
        begin(user)

    assert ConnectAttempt.objects.filter(user=user).count() == 1


@pytest.mark.parametrize("limits", [{"connect": None}, {}], ids=["None", "absent"])
def test_a_rate_limit_can_be_switched_off(limits: dict[str, Any]) -> None:
    user = make_user()
    with settings_with(RATE_LIMITS=limits):
        for _ in range(25):
            begin(user)

    assert ConnectAttempt.objects.count() == 25


def test_the_default_limit_lets_twenty_attempts_a_minute_pass() -> None:
    user = make_user()
    for _ in range(20):
        begin(user)

    assert refused(user) == "rate_limited"
    assert get_app().rate_limits["connect"] == "20/m"


def test_secrets_are_in_no_repr() -> None:
    request = begin()

    assert request.state not in repr(request)
    assert request.code_challenge not in repr(request)


def test_a_database_that_fails_amid_an_attempt_leaves_its_secrets_in_no_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(**facts: Any) -> None:
        raise DatabaseError("no such table")

    monkeypatch.setattr(secrets, "token_urlsafe", lambda length: f"a-secret-of-{length}-bytes")
    monkeypatch.setattr(ConnectAttempt.objects, "create", fail)

    with pytest.raises(DatabaseError) as caught:
        begin()

    frames = [entry.frame for entry in caught.traceback if "django_sf_oauth" in str(entry.path)]
    assert frames
    assert not [name for frame in frames for name, value in frame.f_locals.items() if "a-secret" in repr(value)]
