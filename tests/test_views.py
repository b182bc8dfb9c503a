"""The pages: who sees what, and what each button does."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections as databases
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from django_sf_oauth import views
from django_sf_oauth.models import ConnectAttempt, ConnectionEvent, PendingRevocation, SalesforceConnection
from django_sf_oauth.models.attempt import LIFETIME
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection, make_user
from tests.journey import begin, code_of, come_back, connect, continue_url, signed_in_client, the_connection

pytestmark = pytest.mark.django_db

Status = SalesforceConnection.Status
HOME = "/salesforce/"


def url_of(name: str, connection: SalesforceConnection | None = None) -> str:
    return reverse(f"sf_oauth:{name}", args=[connection.uuid] if connection else [])


def page_of(client: Client, url: str = HOME) -> str:
    return client.get(url).content.decode()


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


# For all pages


@pytest.mark.parametrize(
    "name", ["connections", "connect", "callback", "mails", "reconnect", "disconnect", "make_default"]
)
@pytest.mark.parametrize("method", ["get", "post", "put"])
def test_no_answer_is_kept_by_browsers_or_named_to_others(name: str, method: str) -> None:
    connection = make_connection()
    named = connection if name in {"reconnect", "disconnect", "make_default"} else None
    for client in (Client(), signed_in_client(connection.user)):
        response = getattr(client, method)(url_of(name, named))

        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Referrer-Policy"] in {"no-referrer", "same-origin"}


@pytest.mark.parametrize("name", views.__all__)
def test_no_view_runs_in_a_transaction_of_the_request(name: str) -> None:
    assert getattr(views, name)._non_atomic_requests == set(databases)


@pytest.mark.parametrize(
    ("method", "name", "back"),
    [
        ("get", "connections", "/salesforce/%3Fnext%3D/a/"),
        ("post", "connect", HOME),
        ("post", "mails", HOME),
        ("post", "reconnect", HOME),
        ("post", "make_default", HOME),
    ],
)
def test_anonymous_visitors_sign_in_first_and_land_on_a_page_that_answers(
    method: str, name: str, back: str
) -> None:
    connection = make_connection()
    named = connection if name in {"reconnect", "make_default"} else None
    url = url_of(name, named) + ("?next=/a/" if name == "connections" else "")

    response = getattr(Client(), method)(url)

    assert response.url == f"/login/?next={back}"
    assert not ConnectAttempt.objects.exists()


@pytest.mark.parametrize(
    ("name", "methods"),
    [
        ("connect", {"POST"}),
        ("mails", {"POST"}),
        ("make_default", {"POST"}),
        ("callback", {"GET"}),
        ("connections", {"GET", "HEAD"}),
    ],
)
def test_a_page_answers_its_own_methods_only(name: str, methods: set[str]) -> None:
    connection = make_connection()
    url = url_of(name, connection if name == "make_default" else None)
    client = signed_in_client(connection.user)

    for method in {"GET", "HEAD", "POST", "PUT", "DELETE"} - methods:
        assert client.generic(method, url).status_code == 405
    assert not ConnectAttempt.objects.exists()


@pytest.mark.parametrize("name", ["connect", "reconnect", "disconnect", "make_default"])
def test_forged_forms_of_another_site_are_refused_even_without_the_middleware(name: str) -> None:
    connection = make_connection()
    client = signed_in_client(connection.user, enforce_csrf_checks=True)

    with override_settings(
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ]
    ):
        response = client.post(url_of(name, None if name == "connect" else connection))

    assert response.status_code == 403
    assert not ConnectAttempt.objects.exists()
    connection.refresh_from_db()
    assert connection.status == Status.ACTIVE


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("get", "reconnect"),
        ("post", "reconnect"),
        ("get", "disconnect"),
        ("post", "disconnect"),
        ("post", "make_default"),
    ],
)
def test_somebody_elses_connection_is_as_absent_as_none(method: str, name: str) -> None:
    foreign = make_connection()
    client = signed_in_client()

    answers = [
        getattr(client, method)(reverse(f"sf_oauth:{name}", args=[uuid])) for uuid in (foreign.uuid, uuid4())
    ]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content
    foreign.refresh_from_db()
    assert foreign.status == Status.ACTIVE
    assert foreign.is_default is None


def test_pages_run_under_a_strict_content_security_policy(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)
    pages = [
        page_of(client),
        page_of(client, url_of("disconnect", the_connection())),
        client.post(url_of("connect")).content.decode(),
        page_of(client, "/salesforce/callback/?state=x&code=y"),
    ]

    for page in pages:
        assert "<script" not in page
        assert "<style" not in page
        assert " style=" not in page
        assert re.search(r"\son[a-z]+=", page) is None
        assert re.findall(r'<link rel="stylesheet" href="([^"]+)">', page) == ["/static/sf_oauth/sf_oauth.css"]


# To Salesforce


def test_connect_answers_with_a_page_that_goes_on_by_itself() -> None:
    response = signed_in_client().post(url_of("connect"))

    page = response.content.decode()
    url = continue_url(response)
    assert response.status_code == 200
    assert url.startswith("https://login.salesforce.com/services/oauth2/authorize?")
    assert f'<meta http-equiv="refresh" content="0; url={url.replace("&", "&amp;")}">' in page
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert "login.salesforce.com" in text_of(page)


def test_connect_takes_app_host_and_hint() -> None:
    url = begin(signed_in_client(), app="other", login_host="test.salesforce.com", login_hint="ada@acme.example")

    assert url.startswith("https://test.salesforce.com/")
    assert "client_id=3MVG9.other.client" in url
    assert "login_hint=ada%40acme.example" in url


def test_the_callback_url_is_that_of_this_site() -> None:
    client = signed_in_client()

    url = continue_url(client.post(url_of("connect"), headers={"host": "localhost"}, secure=True))

    assert "redirect_uri=https%3A%2F%2Flocalhost%2Fsalesforce%2Fcallback%2F" in url


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"app": "nosuch"}, "unknown_app"),
        ({"login_host": "evil.example"}, "bad_login_host"),
        ({"next": "https://evil.example/"}, "bad_next"),
        ({"next": "//evil.example/"}, "bad_next"),
        ({"next": "/\\evil.example/"}, "bad_next"),
        ({"next": "javascript:alert(1)"}, "bad_next"),
    ],
)
def test_bad_input_gets_a_plain_page(form: dict[str, str], code: str) -> None:
    response = signed_in_client().post(url_of("connect"), form)

    page = response.content.decode()
    assert (response.status_code, code_of(response)) == (400, code)
    assert "evil.example" not in page
    assert f'href="{HOME}">Go to your connections' in page
    assert not ConnectAttempt.objects.exists()


def test_too_many_attempts_get_a_plain_page() -> None:
    client = signed_in_client()
    for _ in range(20):
        begin(client)

    response = client.post(url_of("connect"))

    assert (response.status_code, code_of(response)) == (429, "rate_limited")
    assert response.headers["Retry-After"] == "60"


def test_a_get_on_reconnect_leads_to_the_page_with_the_button() -> None:
    connection = make_connection()

    response: Any = signed_in_client(connection.user).get(url_of("reconnect", connection))

    assert response.url == HOME
    assert not ConnectAttempt.objects.exists()


def test_a_browser_keeps_its_mark() -> None:
    client = signed_in_client()
    begin(client)
    mark = client.session["sf_oauth_browser"]

    begin(client)

    assert client.session["sf_oauth_browser"] == mark
    assert ConnectAttempt.objects.values("browser_digest").distinct().count() == 1


def test_a_callback_that_was_signed_out_keeps_its_code_out_of_the_login_url(
    fake_salesforce: FakeSalesforce,
) -> None:
    location = fake_salesforce.authorize(begin(signed_in_client()))

    response = come_back(Client(), location)

    assert response.status_code == 403
    assert f'href="{HOME}">Sign in' in response.content.decode()


def test_a_callback_that_succeeded_is_named_to_nobody(fake_salesforce: FakeSalesforce) -> None:
    response = connect(signed_in_client(), fake_salesforce)

    assert response.headers["Referrer-Policy"] == "no-referrer"


# The page of connections


def test_a_newcomer_sees_how_to_connect() -> None:
    page = page_of(signed_in_client())

    assert '<h2 id="sf-oauth-new">Connect Salesforce</h2>' in page
    assert 'name="login_host" value="login.salesforce.com"' in page
    assert 'name="login_host" value="test.salesforce.com"' in page
    assert "My company has its own Salesforce address" in page
    assert "sf-oauth-card" not in page


def test_a_single_app_is_not_named() -> None:
    client = signed_in_client()
    several = page_of(client)

    with override_settings(SALESFORCE_OAUTH={"CLIENT_ID": "id", "CLIENT_SECRET": None}):
        alone = page_of(client)

    assert "<h3>App: public</h3>" in several
    assert "App: default" not in alone


def test_other_login_hosts_are_offered_as_salesforce_with_their_address() -> None:
    with override_settings(
        SALESFORCE_OAUTH={
            "CLIENT_ID": "id",
            "CLIENT_SECRET": None,
            "LOGIN_URL": "https://acme.my.salesforce.com",
            "LOGIN_HOSTS": ["acme.my.salesforce.com", "test.salesforce.com"],
        }
    ):
        page = page_of(signed_in_client())

    values = re.findall(r'name="login_host" value="([^"]+)"', page)
    assert values == ["acme.my.salesforce.com", "test.salesforce.com"]
    assert "<strong>Salesforce</strong> <span>acme.my.salesforce.com</span>" in page


def test_a_login_url_that_cannot_be_read_is_not_offered() -> None:
    with override_settings(
        SALESFORCE_OAUTH={"CLIENT_ID": "id", "CLIENT_SECRET": None, "LOGIN_URL": "nonsense", "LOGIN_HOSTS": []}
    ):
        page = page_of(signed_in_client())

    assert 'name="login_host" value=' not in page


def test_each_connection_says_what_it_is() -> None:
    connection = make_connection(
        organization_name="Acme & Sons", is_sandbox=True, is_default=True, username="ada@x.example"
    )
    make_connection(organization_name="Foreign")

    page = page_of(signed_in_client(connection.user))

    assert "Acme &amp; Sons" in page
    assert "ada@x.example" in page
    assert ">Sandbox</span>" in page
    assert ">Default</span>" in page
    assert "Connected since" in text_of(page)
    assert "Foreign" not in page
    assert page.count('<li class="sf-oauth-card') == 1


def test_a_connection_without_names_shows_its_host_and_ids() -> None:
    connection = make_connection(organization_name="", username="")

    page = page_of(signed_in_client(connection.user))

    assert "acme.my.salesforce.com" in page
    assert connection.salesforce_user_id in page


@pytest.mark.parametrize(
    ("status", "reason", "label", "button"),
    [
        (Status.ACTIVE, "", "Connected", None),
        (Status.RECONNECT_REQUIRED, "revoked", "Reconnect needed", "Reconnect"),
        (Status.BLOCKED, "ip_restricted", "Blocked in Salesforce", "Try again"),
        (Status.DISCONNECTED, "", "Disconnected", "Connect again"),
    ],
)
def test_each_connection_has_the_one_button_it_needs(
    status: str, reason: str, label: str, button: str | None
) -> None:
    connection = make_connection(status=status, reason=reason)

    page = page_of(signed_in_client(connection.user))

    action = f'action="{url_of("reconnect", connection)}"'
    assert f'">{label}</span>' in page
    assert (action in page) == (button is not None)
    assert button is None or f">{button}<span" in page
    assert (url_of("disconnect", connection) in page) == (status != Status.DISCONNECTED)


def test_given_up_connections_come_last_and_the_default_first() -> None:
    user = make_user()
    make_connection(user=user, organization_name="A given up", status=Status.DISCONNECTED)
    make_connection(user=user, organization_name="C default", is_default=True)
    make_connection(user=user, organization_name="B other")

    page = page_of(signed_in_client(user))

    assert page.index("C default") < page.index("B other") < page.index("A given up")


def test_the_page_leads_back_to_where_the_user_wanted_to_go() -> None:
    connection = make_connection(status=Status.RECONNECT_REQUIRED)
    client = signed_in_client(connection.user)

    page = page_of(client, f"{HOME}?next=/accounts/")

    assert '<a href="/accounts/">' in page
    assert page.count('<input type="hidden" name="next" value="/accounts/">') == 1 + 2 * 3


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
def test_a_next_that_leads_elsewhere_is_ignored(target: str) -> None:
    page = signed_in_client().get(HOME, {"next": target}).content.decode()

    assert "evil.example" not in page
    assert "javascript" not in page


def test_every_open_attempt_gets_help() -> None:
    user = make_user()
    connection = make_connection(user=user)
    client = signed_in_client(user)
    begin(client, login_host="test.salesforce.com", next="/accounts/")
    begin(client, login_host="test.salesforce.com", next="/accounts/")
    begin(client, connection.uuid)
    begin(signed_in_client())

    page = page_of(client)

    assert page.count("Salesforce showed an error page?") == 2
    assert "http://testserver/salesforce/callback/" in page
    assert 'name="login_host" value="test.salesforce.com"' in page
    assert page.count(f'action="{url_of("reconnect", connection)}"') == 1
    assert "begun 0" in text_of(page)


def test_attempts_that_ended_or_grew_old_get_no_help(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)
    begin(client)
    ConnectAttempt.objects.update(created_at=timezone.now() - LIFETIME - timedelta(seconds=1))

    assert "Salesforce showed an error page?" not in page_of(client)


def test_the_page_costs_few_queries_however_many_connections_there_are(
    django_assert_max_num_queries: Any,
) -> None:
    user = make_user()
    for _ in range(20):
        make_connection(user=user)
    client = signed_in_client(user)

    with django_assert_max_num_queries(4):  # session, user, connections, attempts
        page_of(client)


def test_no_token_is_on_any_page(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)
    connection = the_connection()
    assert connection.access_token is not None
    assert connection.refresh_token is not None

    for url in (HOME, url_of("disconnect", connection)):
        page = page_of(client, url)
        assert connection.access_token.reveal() not in page
        assert connection.refresh_token.reveal() not in page


# Disconnect


def test_disconnect_asks_first() -> None:
    connection = make_connection(organization_name="Acme")

    page = page_of(signed_in_client(connection.user), url_of("disconnect", connection))

    connection.refresh_from_db()
    assert "Disconnect Acme?" in page
    assert connection.status == Status.ACTIVE


def test_disconnect_forgets_and_revokes(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)

    response: Any = client.post(url_of("disconnect", the_connection()))

    connection = the_connection()
    assert response.url == HOME
    assert (connection.status, connection.access_token, connection.refresh_token) == (
        Status.DISCONNECTED,
        None,
        None,
    )
    assert list(fake_salesforce.world.live_approvals()) == []
    assert "Salesforce has revoked the access." in page_of(client)
    assert ConnectionEvent.objects.filter(kind="disconnected", actor=connection.user).count() == 1


def test_disconnect_works_while_salesforce_is_down(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)
    fake_salesforce.maintenance = True

    client.post(url_of("disconnect", the_connection()))

    assert the_connection().status == Status.DISCONNECTED
    assert PendingRevocation.objects.count() == 1
    assert "goes on trying" in page_of(client)


def test_disconnect_promises_nothing_when_no_key_opens_the_token(fake_salesforce: FakeSalesforce) -> None:
    client = signed_in_client()
    connect(client, fake_salesforce)

    with override_settings(FERNET_KEYS=["the only key left"]):
        client.post(url_of("disconnect", the_connection()))
        page = page_of(client)

    assert the_connection().status == Status.DISCONNECTED
    assert "goes on trying" not in page
    assert "no readable key left to revoke" in page


@pytest.mark.parametrize("name", ["access_token", "refresh_token"])
def test_a_connection_whose_token_no_key_opens_is_not_called_connected(name: str) -> None:
    tokens: dict[str, Any] = {"access_token": None, "refresh_token": None, name: "token"}
    connection = make_connection(**tokens)
    client = signed_in_client(connection.user)

    with override_settings(FERNET_KEYS=["the only key left"]):
        page = text_of(page_of(client))

    assert "Reconnect needed" in page
    assert "can no longer read the stored key" in page


@pytest.mark.parametrize("method", ["get", "post"])
def test_what_is_disconnected_need_not_be_asked_about(method: str) -> None:
    connection = make_connection(status=Status.DISCONNECTED)
    client = signed_in_client(connection.user)

    response = getattr(client, method)(url_of("disconnect", connection))

    assert response.url == HOME
    assert not ConnectionEvent.objects.exists()


# Default


def test_make_default_takes_it_from_the_other() -> None:
    user = make_user()
    old, new = make_connection(user=user, is_default=True), make_connection(user=user)
    foreign = make_connection(is_default=True)
    client = signed_in_client(user)

    response: Any = client.post(url_of("make_default", new))

    for connection in (old, new, foreign):
        connection.refresh_from_db()
    assert response.url == HOME
    assert (old.is_default, new.is_default, foreign.is_default) == (None, True, True)
    assert "is now your default." in page_of(client)


def test_a_disconnected_connection_cannot_be_the_default() -> None:
    connection = make_connection(status=Status.DISCONNECTED)
    client = signed_in_client(connection.user)

    client.post(url_of("make_default", connection))

    connection.refresh_from_db()
    assert connection.is_default is None
    assert "Connect it again first." in page_of(client)


def test_the_pages_work_without_the_messages_app(fake_salesforce: FakeSalesforce) -> None:
    with override_settings(
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ]
    ):
        client = signed_in_client()
        connect(client, fake_salesforce)

        assert client.get(HOME).status_code == 200


# What attackers write


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https:evil.example",
        "https://testserver@evil.example",
        "https://testserver.evil.example",
        "http:///evil.example",
        "\thttps://evil.example",
        " //evil.example",
        "%2f%2fevil.example",
        "//%65vil.example",
        "/ok\r\nLocation: https://evil.example",
        "//",
        "/\\?",
        "http://testserver\n",
        "javascript:alert(1)",
        "data:text/html,x",
    ],
)
def test_a_hostile_way_back_leads_nowhere(fake_salesforce: FakeSalesforce, target: str) -> None:
    client = signed_in_client()
    response = client.post("/salesforce/connect/", {"next": target})
    if response.status_code == 200:
        response = come_back(client, fake_salesforce.authorize(continue_url(response)))

    location = response.headers.get("Location", "/salesforce/")
    assert location == "/salesforce/" or (target.startswith("/ok") and "\n" not in location)


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_HOST": "evil.example"},
        {"HTTP_HOST": "testserver@evil.example"},
        {"HTTP_HOST": "testserver:80@evil.example"},
        {"HTTP_HOST": "testserver\r\nX: y"},
        {"HTTP_X_FORWARDED_HOST": "evil.example"},
        {"HTTP_FORWARDED": "host=evil.example"},
        {"HTTP_X_FORWARDED_PROTO": "https"},
    ],
    ids=["host", "userinfo", "port-and-userinfo", "crlf", "forwarded-host", "forwarded", "forwarded-proto"],
)
def test_a_forged_host_makes_no_callback_url(headers: dict[str, str]) -> None:
    client = signed_in_client()

    client.post("/salesforce/connect/", **headers)  # type: ignore[arg-type]  # of the request's environment

    made = set(ConnectAttempt.objects.values_list("redirect_uri", flat=True))
    assert made <= {"http://testserver/salesforce/callback/"}


@pytest.mark.parametrize(
    "query",
    [
        "code=a&code=b&state=c",
        "code=a&state=b&state=c",
        "code=a&state=b%00",
        "code=a%ff%fe&state=b",
        "code=a&state=" + "b" * 100_000,
        "code=" + "a" * 100_000 + "&state=b",
        "code=a&state=b%0d%0aSet-Cookie:x",
        "code=a&state=%e2%80%a8",
        "&".join(f"x{number}=1" for number in range(900)) + "&code=a&state=b",
        "error=access_denied&error_description=%00%ff&state=b",
    ],
    ids=["codes", "states", "nul", "not-utf-8", "long-state", "long-code", "crlf", "separator", "many", "error"],
)
def test_a_hostile_callback_is_a_plain_page(query: str) -> None:
    response = signed_in_client().get(f"/salesforce/callback/?{query}")

    assert response.status_code == 400
    assert code_of(response) in {"malformed_callback", "state_missing", "state_unknown"}
    assert "Set-Cookie:x" not in str(response.headers)
