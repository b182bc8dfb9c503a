"""Each mistake in the settings has an id."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from django.core.checks import CheckMessage, run_checks
from django.db import connections, models
from django.test import override_settings
from django.test.utils import isolate_apps

from django_sf_oauth import checks
from django_sf_oauth.fields import SealedTextField
from django_sf_oauth.models import SealedQuerySet

AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"
OURS = "django_sf_oauth.middleware.SalesforceMiddleware"
LOGIN = "https://login.salesforce.com"
NO_URLS = ModuleType("no_urls")
NO_URLS.__dict__["urlpatterns"] = []


def ids(found: list[CheckMessage]) -> list[str]:
    return [str(message.id).removeprefix("django_sf_oauth.") for message in found]


def found_in(value: Any) -> list[CheckMessage]:
    with override_settings(SALESFORCE_OAUTH=value):
        return checks.check_settings()


def app(**values: Any) -> dict[str, Any]:
    return {"CLIENT_ID": "id", "CLIENT_SECRET": "secret", **values}


@pytest.mark.django_db
def test_the_settings_of_the_tests_are_right() -> None:
    assert [message for message in run_checks() if str(message.id).startswith("django_sf_oauth")] == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, ["E001"], id="absent"),
        pytest.param({}, ["E001"], id="empty"),
        pytest.param(["CLIENT_ID"], ["E001"], id="list"),
        pytest.param({"APPS": ["one"]}, ["E001"], id="apps-as-list"),
        pytest.param({"APPS": {"one": "id"}}, ["E003"], id="app-as-text"),
        pytest.param({"CLIENT_ID": ""}, ["E003"], id="blank-id"),
        pytest.param({"APPS": {"one": {"CLIENT_SECRET": "s"}}}, ["E003"], id="app-without-id"),
        pytest.param({"CLIENT_ID": "id"}, ["E003"], id="forgotten-secret"),
        pytest.param(app(TIMEOUTS={"conect": 5}), ["E003"], id="unknown-timeout"),
        pytest.param(app(SCOPES=5), ["E003"], id="scopes-as-number"),
        pytest.param(app(), [], id="minimal"),
        pytest.param({"APPS": {"one": app()}}, [], id="apps-alone"),
        pytest.param(app(CLIENT_SECRET=None), [], id="public-client"),
        pytest.param(app(CLIENT_SECRET=lambda: ["a", "b"]), [], id="secret-from-a-callable"),
        pytest.param(app(CLIENT_SECRET=" "), ["W004"], id="blank-secret"),
        pytest.param(app(CLIENT_SECRET=["new", ""]), ["W004"], id="one-blank-secret"),
        pytest.param(app(CLIENT_SECRET=[]), ["W004"], id="empty-list-of-secrets"),
        pytest.param(app(CLIENT_SECRET=lambda: None), ["W004"], id="callable-without-a-secret"),
        pytest.param(app(CLIENT_SCERET="x"), ["E002"], id="unknown-key"),
        pytest.param({"APPS": {"one": app(APPS={})}}, ["E002"], id="apps-in-an-app"),
        pytest.param(app(LOGIN_URL="https://evil.example"), ["E004"], id="foreign-login-url"),
        pytest.param(app(LOGIN_URL=f"{LOGIN}/services/oauth2/authorize"), ["E004"], id="login-url-with-endpoint"),
        pytest.param(app(LOGIN_URL=f"{LOGIN}?prompt=login"), ["E004"], id="login-url-with-query"),
        pytest.param(app(LOGIN_URL=f"{LOGIN}#top"), ["E004"], id="login-url-with-fragment"),
        pytest.param(
            app(LOGIN_URL="https://acme.my.site.com/members", TRUSTED_HOSTS=["acme.my.site.com"]),
            [],
            id="site-with-a-path",
        ),
        pytest.param(app(LOGIN_URL="http://login.salesforce.com"), ["E004"], id="login-in-clear"),
        pytest.param(app(LOGIN_URL="login.salesforce.com"), ["E004"], id="login-url-without-scheme"),
        pytest.param(
            app(LOGIN_URL="http://10.0.0.5:8001", TRUSTED_HOSTS=["10.0.0.5:8001"]),
            ["E004"],
            id="clear-beyond-loopback",
        ),
        pytest.param(
            app(LOGIN_URL="http://127.0.0.1:8001", TRUSTED_HOSTS=["127.0.0.1:8001"]), [], id="clear-on-loopback"
        ),
        pytest.param(app(SCOPES="api openid"), ["E005"], id="no-refresh-token"),
        pytest.param(app(SCOPES="api offline_access"), [], id="offline-access"),
        pytest.param(app(SCOPES=""), [], id="scopes-of-the-app"),
        pytest.param(app(SCOPES="full"), ["E005"], id="full-is-not-enough"),
        pytest.param(app(TRUSTED_HOSTS=["http://fake.example"]), ["E006"], id="trusted-host-with-scheme"),
        pytest.param(app(TRUSTED_HOSTS=["fake.example/path"]), ["E006"], id="trusted-host-with-path"),
        pytest.param(app(LOGIN_HOSTS=["https://login.salesforce.com"]), ["E006"], id="login-host-with-scheme"),
        pytest.param(app(LOGIN_HOSTS=["login.acme.example"]), ["E007"], id="login-host-not-trusted"),
        pytest.param(
            app(LOGIN_HOSTS=["login.acme.example"], TRUSTED_HOSTS=["login.acme.example"]),
            [],
            id="login-host-trusted",
        ),
        pytest.param(app(RATE_LIMITS={"connect": "often"}), ["E008"], id="no-rate"),
        pytest.param(app(RATE_LIMITS={"connect": 20}), ["E008"], id="rate-as-number"),
        pytest.param(app(RATE_LIMITS={"conect": "20/m"}), ["E008"], id="unknown-rate"),
        pytest.param(app(REVOKE_RATE="slowly"), ["E040"], id="no-revoke-rate"),
        pytest.param(app(REVOKE_RATE="0/s"), ["E040"], id="revoke-rate-of-nothing"),
        pytest.param(app(REVOKE_RATE=None), [], id="revoke-rate-switched-off"),
        pytest.param(app(RATE_LIMITS={"connect": None, "callback": "1/s"}), [], id="rate-switched-off"),
        pytest.param(app(REFRESH_RATE="often"), ["E016"], id="no-refresh-rate"),
        pytest.param(app(REFRESH_RATE="50/s"), [], id="refresh-rate"),
        pytest.param(app(FLEET_GUARD={"count": 0}), ["E014"], id="guard-of-nobody"),
        pytest.param(app(FLEET_GUARD={"window": "600"}), ["E014"], id="window-as-text"),
        pytest.param(app(FLEET_GUARD={"share": 1.5}), ["E014"], id="share-of-more-than-all"),
        pytest.param(app(FLEET_GUARD={"share": 0, "count": 1}), [], id="any-share"),
        pytest.param(app(FLEET_GUARD={"cuont": 5}), ["E003"], id="unknown-limit-of-the-guard"),
        pytest.param(app(BREAKER={"count": 0}), ["E014"], id="breaker-always-open"),
        pytest.param(app(BREAKER={"pause": -1}), ["E014"], id="pause-below-nothing"),
        pytest.param(app(BREAKER={"count": 3, "window": 1.5}), [], id="breaker"),
        pytest.param(app(MOST_REFRESHES=0), ["E030"], id="no-refresh-at-all"),
        pytest.param(app(MOST_REFRESHES=None), [], id="any-number-of-refreshes"),
        pytest.param(app(MOST_REFRESHES="many"), ["E003"], id="refreshes-as-text"),
        pytest.param(app(REDIRECT_URI="/salesforce/callback/"), ["E009"], id="relative-redirect-uri"),
        pytest.param(app(REDIRECT_URI="https://site.example/cb"), [], id="redirect-uri"),
        pytest.param(app(REDIRECT_URI="https://site.example:8443/cb"), [], id="redirect-uri-with-port"),
        pytest.param(app(REDIRECT_URI="http://site.example/cb"), ["E009"], id="codes-in-clear"),
        pytest.param(app(REDIRECT_URI="http://localhost:8000/cb"), [], id="codes-in-clear-on-loopback"),
        pytest.param(app(TIMEOUTS={"total": 90, "lease": 90}), ["E003"], id="lease-too-short"),
        pytest.param(app(SITE_URL="https://crm.example.com:8443/"), [], id="site"),
        pytest.param(app(SITE_URL="http://localhost:8000"), [], id="site-on-loopback"),
        pytest.param(app(SITE_URL="http://crm.example.com"), ["E017"], id="site-in-clear"),
        pytest.param(app(SITE_URL="crm.example.com"), ["E017"], id="site-without-scheme"),
        pytest.param(app(SITE_URL="https://crm.example.com/app"), ["E017"], id="site-with-path"),
        pytest.param(app(NOTIFY_USERS="perhaps"), ["E003"], id="neither-yes-nor-no"),
        pytest.param(app(DIGEST=7), ["E003"], id="recipients-as-number"),
    ],
)
def test_a_mistake_in_the_settings_is_found(value: Any, expected: list[str]) -> None:
    assert ids(found_in(value)) == expected


def test_several_mistakes_are_found_at_once() -> None:
    assert ids(found_in(app(SCOPES="api", LOGIN_URL="x", NOPE=1))) == ["E002", "E004", "E005"]


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        (
            app(CLIENT_SCERET="x"),
            "SALESFORCE_OAUTH has an unknown key 'CLIENT_SCERET'.",
            "Did you mean 'CLIENT_SECRET'?",
        ),
        (app(login_url="x"), "SALESFORCE_OAUTH has an unknown key 'login_url'.", "Did you mean 'LOGIN_URL'?"),
        (
            {"APPS": {"one": app(SCOPE="api")}},
            "SALESFORCE_OAUTH['APPS']['one'] has an unknown key 'SCOPE'.",
            "Did you mean 'SCOPES'?",
        ),
        (
            app(RATE_LIMITS={"conect": "1/m"}),
            "RATE_LIMITS has an unknown key 'conect'.",
            "Did you mean 'connect'?",
        ),
    ],
)
def test_an_unknown_key_is_asked_about(value: Any, message: str, hint: str) -> None:
    [found] = found_in(value)

    assert (found.msg, found.hint) == (message, hint)


def test_a_key_like_none_gets_the_whole_list() -> None:
    [found] = found_in(app(ZZZZ=1))

    assert str(found.hint).startswith("Known are: ALERTS, API_VERSION, APPS, BREAKER, CLIENT_ID,")


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        pytest.param({"CLIENT_ID": ""}, "environment variable", id="blank-id"),
        pytest.param({"CLIENT_ID": "id"}, "None if the connected app is a public client", id="forgotten-secret"),
        pytest.param(app(HEARTBEAT="7d"), "seconds or a timedelta", id="duration-as-text"),
    ],
)
def test_an_app_that_cannot_be_read_is_told_how_to_be(value: Any, hint: str) -> None:
    [found] = found_in(value)

    assert found.id == "django_sf_oauth.E003"
    assert hint in str(found.hint)


def test_no_secret_is_printed() -> None:
    for message in found_in(app(CLIENT_SECRET="s3cret", SCOPES=5, LOGIN_URL=object(), NOPE="s3cret")):
        assert "s3cret" not in f"{message.msg} {message.hint}"


@pytest.mark.parametrize(
    ("order", "expected"),
    [([AUTH, OURS], []), ([OURS, AUTH], ["E013"]), ([OURS], ["E013"]), ([AUTH], []), ([], [])],
)
def test_the_middleware_comes_after_the_user(order: list[str], expected: list[str]) -> None:
    with override_settings(MIDDLEWARE=order):
        assert ids(checks.check_middleware()) == expected


@pytest.mark.parametrize(("value", "expected"), [("Lax", []), ("Strict", ["W005"]), ("None", []), (False, [])])
def test_a_session_has_to_survive_the_way_back(value: Any, expected: list[str]) -> None:
    with override_settings(SESSION_COOKIE_SAMESITE=value):
        assert ids(checks.check_sessions()) == expected


@pytest.mark.parametrize(
    ("urls", "expected"), [("tests.urls", []), (NO_URLS, ["W007"])], ids=["included", "forgotten"]
)
def test_a_site_without_our_urls_is_warned(urls: Any, expected: list[str]) -> None:
    with override_settings(ROOT_URLCONF=urls):
        assert ids(checks.check_urls()) == expected


@pytest.mark.parametrize(
    ("vendor", "options", "expected"),
    [
        ("sqlite", {}, ["W006"]),
        ("sqlite", {"init_command": "PRAGMA synchronous=NORMAL;"}, ["W006"]),
        ("sqlite", {"init_command": "PRAGMA Journal_Mode = wal;"}, ["W006"]),
        ("sqlite", {"transaction_mode": "IMMEDIATE"}, ["W006"]),
        ("sqlite", {"init_command": "PRAGMA Journal_Mode = wal;", "transaction_mode": "DEFERRED"}, ["W006"]),
        ("sqlite", {"init_command": "PRAGMA Journal_Mode = wal;", "transaction_mode": "immediate"}, []),
        ("postgresql", {}, []),
    ],
)
def test_sqlite_is_asked_for_its_log_and_for_immediate_transactions(
    vendor: str, options: dict[str, str], expected: list[str]
) -> None:
    connection = connections["default"]
    with (
        mock.patch.object(type(connection), "vendor", vendor),
        mock.patch.dict(connection.settings_dict, OPTIONS=options),
    ):
        assert ids(checks.check_database()) == expected


def test_a_database_that_commits_nothing_by_itself_is_refused() -> None:
    with mock.patch.dict(connections["default"].settings_dict, AUTOCOMMIT=False):
        assert ids(checks.check_database()) == ["E015"]


SITE = "https://crm.example.com"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(app(SITE_URL=SITE), [], id="told"),
        pytest.param(app(), ["W020"], id="no-address"),
        pytest.param(app(NOTIFY_USERS=False), [], id="switched-off"),
        pytest.param(app(SITE_URL=SITE, DIGEST="ops@example.com"), [], id="digest"),
        pytest.param(app(SITE_URL=SITE, DIGEST="MANAGERS"), ["W021"], id="no-managers"),
        pytest.param(app(SITE_URL=SITE, ALERTS=["ADMINS"]), ["W021"], id="no-admins"),
        pytest.param({}, [], id="no-app"),
        pytest.param({"CLIENT_ID": ""}, [], id="cannot-be-read"),
    ],
)
def test_mails_that_nobody_gets_are_found(value: Any, expected: list[str]) -> None:
    with override_settings(SALESFORCE_OAUTH=value, MANAGERS=[], ADMINS=[]):
        assert ids(checks.check_mails()) == expected


def test_the_apps_that_tell_nobody_are_named() -> None:
    value = {"APPS": {"emea": app(), "us": app(SITE_URL=SITE), "apac": app()}}

    with override_settings(SALESFORCE_OAUTH=value):
        [found] = checks.check_mails()

    assert "emea, apac" in str(found.msg)


SMTP = "django.core.mail.backends.smtp.EmailBackend"


@pytest.mark.parametrize(
    ("mailers", "expected"),
    [
        ({"default": {"BACKEND": SMTP}}, ["W022"]),
        ({"default": {}}, ["W022"]),
        ({}, ["W022"]),
        ({"default": {"BACKEND": SMTP, "OPTIONS": {"timeout": 10}}}, []),
        ({"default": {"BACKEND": "anymail.backends.postmark.EmailBackend"}}, []),
    ],
)
def test_a_mail_server_gets_so_many_seconds(mailers: Any, expected: list[str]) -> None:
    with override_settings(SALESFORCE_OAUTH=app(SITE_URL=SITE), MAILERS=mailers):
        assert ids(checks.check_mails()) == expected


@pytest.mark.parametrize(
    ("backend", "timeout", "expected"), [(SMTP, None, ["W022"]), (SMTP, 10, []), ("another", None, [])]
)
def test_before_mailers_it_is_another_setting(backend: str, timeout: int | None, expected: list[str]) -> None:
    asked = SimpleNamespace(EMAIL_BACKEND=backend, EMAIL_TIMEOUT=timeout)

    with override_settings(SALESFORCE_OAUTH=app(SITE_URL=SITE)), mock.patch.object(checks, "settings", asked):
        assert ids(checks.check_mails()) == expected


def test_a_site_that_sends_no_mails_is_asked_for_no_timeout() -> None:
    with override_settings(SALESFORCE_OAUTH=app(NOTIFY_USERS=False), MAILERS={}):
        assert checks.check_mails() == []


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        pytest.param(None, [], id="none"),
        pytest.param([{"*": {"time_limit": 30}}], [], id="a list, which is not looked into"),
        pytest.param({"*": {"rate_limit": "10/s"}}, [], id="no limit of time"),
        pytest.param({"*": {"time_limit": 30}}, ["E018"], id="all tasks"),
        pytest.param({checks.BATCH_TASK: {"soft_time_limit": 300}}, ["E018"], id="a soft limit"),
        pytest.param({"*": {"time_limit": 30}, checks.BATCH_TASK: {"time_limit": 900}}, [], id="all others"),
    ],
)
def test_a_batch_needs_time_to_end(annotations: Any, expected: list[str]) -> None:
    with override_settings(CELERY_TASK_ANNOTATIONS=annotations):
        assert ids(checks.check_tasks()) == expected


PROXY = type("Meta", (), {"app_label": "uuid_user", "proxy": True})


def own_model(name: str, manager: Any, **fields: Any) -> Any:
    meta = type("Meta", (), {"app_label": "uuid_user"})
    return type(name, (models.Model,), {"__module__": __name__, "Meta": meta, "objects": manager, **fields})


def sealed() -> dict[str, Any]:
    return {"uuid": models.UUIDField(default=uuid4), "password": SealedTextField()}


@pytest.fixture
def own_apps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A site whose models are those that the test makes."""
    with isolate_apps("tests.uuid_user") as own:
        monkeypatch.setattr(checks, "registry", own)
        yield


def test_a_sealed_model_that_accepts_upserts_is_named(own_apps: None) -> None:
    own_model("Mailbox", models.Manager(), **sealed())

    [found] = checks.check_models()

    assert ids([found]) == ["W008"]
    assert "uuid_user.Mailbox" in str(found.msg)


def test_a_proxy_of_a_sealed_model_may_accept_what_the_model_refuses(own_apps: None) -> None:
    mailbox = own_model("Mailbox", SealedQuerySet.as_manager(), **sealed())

    type("Pane", (mailbox,), {"__module__": __name__, "objects": models.Manager(), "Meta": PROXY})

    assert [str(found.msg).split()[0] for found in checks.check_models()] == ["uuid_user.Pane"]


def test_a_sealed_model_that_refuses_upserts_is_left_in_peace(own_apps: None) -> None:
    class Own(SealedQuerySet[Any]):
        """A queryset of the site's."""

    own_model("Mailbox", SealedQuerySet.as_manager(), **sealed())
    own_model("Postbox", Own.as_manager(), **sealed())
    own_model("Letter", models.Manager())

    assert checks.check_models() == []
