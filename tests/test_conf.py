from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_sf_oauth.conf import AppSettings, FleetGuard, Timeouts, from_env, get_app, get_apps, read_apps
from django_sf_oauth.exceptions import ConfigurationError

PLANTED = "5up3r-53cr3t-c0n5um3r-53cr3t"
MINIMAL = {"CLIENT_ID": "3MVG9.one", "CLIENT_SECRET": None}
TWO_HOSTS = ("a.my.salesforce.com", "b.my.salesforce.com")


def env_of(**variables: str) -> environ.Env:
    env = environ.Env()
    env.ENVIRON = variables
    return env


@contextmanager
def refused(code: str) -> Iterator[list[ConfigurationError]]:
    """The error, none of whose faces shows the planted value."""
    caught: list[ConfigurationError] = []
    with pytest.raises(ConfigurationError) as info:
        yield caught
    caught.append(info.value)
    assert info.value.code == code
    assert PLANTED not in f"{info.value!r} {info.value} {info.value.__cause__!r}"


def test_an_id_and_a_word_on_the_secret_are_all_that_an_app_needs() -> None:
    app = read_apps(MINIMAL)["default"]

    assert app == AppSettings(alias="default", client_id="3MVG9.one")
    assert app.scopes == ("api", "refresh_token", "openid")
    assert app.client_secrets == ()


@pytest.mark.parametrize(
    ("key", "value", "name", "read"),
    [
        ("LOGIN_URL", "https://acme.my.salesforce.com/", "login_url", "https://acme.my.salesforce.com"),
        ("SCOPES", "api  refresh_token", "scopes", ("api", "refresh_token")),
        ("SCOPES", "api,refresh_token, openid", "scopes", ("api", "refresh_token", "openid")),
        ("SCOPES", ["api", "full"], "scopes", ("api", "full")),
        ("LOGIN_HOSTS", ["test.salesforce.com"], "login_hosts", ("test.salesforce.com",)),
        ("LOGIN_HOSTS", "a.my.salesforce.com,b.my.salesforce.com", "login_hosts", TWO_HOSTS),
        ("TRUSTED_HOSTS", "a.my.salesforce.com, b.my.salesforce.com", "trusted_hosts", TWO_HOSTS),
        ("TRUSTED_HOSTS", "127.0.0.1:8001", "trusted_hosts", ("127.0.0.1:8001",)),
        ("REDIRECT_URI", "https://site.example/cb/", "redirect_uri", "https://site.example/cb/"),
        ("API_VERSION", "v65.0", "api_version", "65.0"),
        ("API_VERSION", 65.0, "api_version", "65.0"),
        ("SESSION_LIFETIME", 900, "session_lifetime", timedelta(minutes=15)),
        ("HEARTBEAT", timedelta(days=2), "heartbeat", timedelta(days=2)),
        ("INTROSPECT", "False", "introspect", False),
        ("EXPIRES_IF_UNUSED", 86_400, "expires_if_unused", timedelta(days=1)),
        ("DORMANT_AFTER", timedelta(days=90), "dormant_after", timedelta(days=90)),
        ("DORMANT_AFTER", None, "dormant_after", None),
        ("TIMEOUTS", {"wait": 1}, "timeouts", Timeouts(wait=1.0)),
        ("RATE_LIMITS", {"connect": None}, "rate_limits", {"connect": None}),
        ("FLEET_GUARD", {"count": 5}, "fleet_guard", FleetGuard(count=5)),
        ("NOTIFY_USERS", "False", "notify_users", False),
        ("NOTIFY_USERS", True, "notify_users", True),
        ("SITE_URL", "https://crm.example.com/", "site_url", "https://crm.example.com"),
        ("DIGEST", "MANAGERS, ops@example.com", "digest", ("MANAGERS", "ops@example.com")),
        ("ALERTS", ["ops@example.com"], "alerts", ("ops@example.com",)),
    ],
)
def test_a_key_is_read_into_its_type(key: str, value: Any, name: str, read: Any) -> None:
    assert getattr(read_apps({**MINIMAL, key: value})["default"], name) == read


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("LOGIN_URL", 7),
        ("SCOPES", None),
        ("LOGIN_HOSTS", 7),
        ("SESSION_LIFETIME", PLANTED),
        ("SESSION_LIFETIME", -1),
        ("HEARTBEAT", None),
        ("HEARTBEAT", 0),
        ("INTROSPECT", PLANTED),
        ("EXPIRES_IF_UNUSED", 0),
        ("DORMANT_AFTER", 0),
        ("DORMANT_AFTER", timedelta(days=-1)),
        ("DORMANT_AFTER", PLANTED),
        ("TIMEOUTS", {"wait": PLANTED}),
        ("TIMEOUTS", {PLANTED: 1}),
        ("TIMEOUTS", PLANTED),
        ("RATE_LIMITS", PLANTED),
        ("FLEET_GUARD", {PLANTED: 1}),
        ("NOTIFY_USERS", PLANTED),
        ("SITE_URL", 7),
        ("DIGEST", None),
    ],
)
def test_a_bad_value_is_named_and_not_printed(key: str, value: Any) -> None:
    with refused("bad_setting") as caught:
        read_apps({**MINIMAL, key: value})

    assert key in str(caught[0])


@pytest.mark.parametrize(
    "value",
    [None, PLANTED, {"APPS": PLANTED}, {"APPS": {"emea": PLANTED}}],
    ids=["none", "text", "apps", "app"],
)
def test_a_setting_of_another_shape_is_refused(value: Any) -> None:
    with refused("bad_setting"):
        read_apps(value)


@pytest.mark.parametrize(
    ("timeouts", "name"), [({"lease": 60}, "lease"), ({"total": 0}, "total"), ({"total": 61}, "total")]
)
def test_a_lease_that_ends_before_its_exchange_or_a_worker_that_waits_for_it_is_refused(
    timeouts: dict[str, float], name: str
) -> None:
    with refused("bad_setting") as caught:
        read_apps({**MINIMAL, "TIMEOUTS": timeouts})

    assert f"in TIMEOUTS, {name} has to be" in str(caught[0])


def test_an_app_without_an_id_is_refused() -> None:
    with refused("no_client_id"):
        read_apps({"APPS": {"emea": {"CLIENT_SECRET": PLANTED}}})


@pytest.mark.parametrize(
    "value",
    [{"CLIENT_ID": "3MVG9.one"}, {"CLIENT_SECRET": PLANTED, "APPS": {"emea": {"CLIENT_ID": "3MVG9.two"}}}],
    ids=["default", "not-inherited"],
)
def test_a_forgotten_secret_makes_no_public_client(value: Any) -> None:
    with refused("no_client_secret"):
        read_apps(value)


def test_the_apps_inherit_all_but_credentials() -> None:
    apps = read_apps(
        {
            **MINIMAL,
            "CLIENT_SECRET": "one",
            "SCOPES": "api",
            "API_VERSION": "64.0",
            "APPS": {"emea": {"CLIENT_ID": "3MVG9.two", "CLIENT_SECRET": None, "API_VERSION": "65.0"}},
        }
    )

    assert list(apps) == ["default", "emea"]
    assert apps["emea"].alias == "emea"
    assert apps["emea"].client_secrets == ()
    assert (apps["emea"].scopes, apps["emea"].api_version) == (("api",), "65.0")


def test_named_apps_need_no_default() -> None:
    assert list(read_apps({"SCOPES": "api", "APPS": {"emea": MINIMAL}})) == ["emea"]


def test_an_unknown_key_does_not_stop_the_site() -> None:
    assert read_apps({**MINIMAL, "SKOPES": "api"})["default"].client_id == "3MVG9.one"


@pytest.mark.parametrize(
    ("source", "secrets"),
    [
        (None, ()),
        ("one", ("one",)),
        (["new", "old"], ("new", "old")),
        (lambda: "asked", ("asked",)),
        (lambda: ["new", "old"], ("new", "old")),
        (lambda: None, ()),
    ],
    ids=["public", "text", "list", "callable", "callable-list", "callable-none"],
)
def test_secrets_come_newest_first_from_any_source(source: Any, secrets: tuple[str, ...]) -> None:
    assert read_apps({**MINIMAL, "CLIENT_SECRET": source})["default"].client_secrets == secrets


def test_an_app_in_a_hurry_waits_no_longer_than_its_settings_say() -> None:
    app = AppSettings(alias="default", client_id="id")

    assert app.within(5.0).timeouts.total == 5.0
    assert app.within(500.0).timeouts.total == app.timeouts.total


def test_a_callable_secret_is_asked_each_time() -> None:
    vault = ["first"]
    app = read_apps({**MINIMAL, "CLIENT_SECRET": lambda: vault[-1]})["default"]
    vault.append("second")

    assert app.client_secrets == ("second",)


def test_a_vault_that_is_down_is_told_without_its_words() -> None:
    def ask() -> str:
        raise OSError(f"vault said {PLANTED}")

    app = read_apps({**MINIMAL, "CLIENT_SECRET": ask})["default"]

    with pytest.raises(ConfigurationError) as caught:
        _ = app.client_secrets
    assert caught.value.code == "secret_unavailable"
    assert PLANTED not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_secret_is_not_in_the_repr() -> None:
    assert PLANTED not in repr(read_apps({**MINIMAL, "CLIENT_SECRET": PLANTED}))


def test_an_override_in_a_test_arrives() -> None:
    before = get_app()

    with override_settings(SALESFORCE_OAUTH=MINIMAL):
        assert get_app().client_id == "3MVG9.one"
    assert get_app() == before


def test_the_settings_are_read_once_until_they_change() -> None:
    before = get_apps()

    with override_settings(LANGUAGE_CODE="de"):
        assert get_apps() is before


def test_an_empty_setting_names_no_app() -> None:
    assert read_apps({}) == {}


def test_an_unknown_app_is_a_mistake_of_the_site() -> None:
    with pytest.raises(ImproperlyConfigured, match="'emea'") as caught:
        get_app("emea")

    assert caught.value.code == "unknown_app"  # type: ignore[attr-defined]  # it is ours as well


def test_the_environment_gives_the_setting() -> None:
    found = from_env(
        env_of(
            SALESFORCE_CLIENT_ID=" 3MVG9.env ",
            SALESFORCE_CLIENT_SECRET="new, old,",
            SALESFORCE_LOGIN_URL="https://test.salesforce.com",
            SALESFORCE_SCOPES="api,refresh_token openid",
            SALESFORCE_LOGIN_HOSTS="test.salesforce.com",
            SALESFORCE_TRUSTED_HOSTS="127.0.0.1:8001, localhost:8001",
            SALESFORCE_REDIRECT_URI="https://site.example/salesforce/callback/",
            SALESFORCE_API_VERSION="65.0",
            SALESFORCE_SESSION_LIFETIME="900",
            SALESFORCE_HEARTBEAT="86400",
            SALESFORCE_NOTIFY_USERS="no",
            SALESFORCE_SITE_URL="https://crm.example.com",
            SALESFORCE_DIGEST="MANAGERS",
            SALESFORCE_ALERTS="ops@example.com, ADMINS",
        )
    )

    assert read_apps(found)["default"] == AppSettings(
        alias="default",
        client_id="3MVG9.env",
        client_secret=["new", "old"],
        login_url="https://test.salesforce.com",
        scopes=("api", "refresh_token", "openid"),
        login_hosts=("test.salesforce.com",),
        trusted_hosts=("127.0.0.1:8001", "localhost:8001"),
        redirect_uri="https://site.example/salesforce/callback/",
        api_version="65.0",
        session_lifetime=timedelta(minutes=15),
        heartbeat=timedelta(days=1),
        notify_users=False,
        site_url="https://crm.example.com",
        digest=("MANAGERS",),
        alerts=("ops@example.com", "ADMINS"),
    )


def test_an_absent_variable_leaves_the_default() -> None:
    found = from_env(env_of(SALESFORCE_CLIENT_ID="id", SALESFORCE_CLIENT_SECRET="one"))

    assert found == {"CLIENT_ID": "id", "CLIENT_SECRET": ["one"]}


def test_a_mounted_secret_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{PLANTED}\n")

    found = from_env(env_of(SALESFORCE_CLIENT_ID="id", SALESFORCE_CLIENT_SECRET_FILE=str(tmp_path / "secret")))

    assert found["CLIENT_SECRET"] == [PLANTED]


@pytest.mark.parametrize("content", [None, b"\xff" + PLANTED.encode()], ids=["absent", "not-text"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)

    with refused("bad_setting") as caught:
        from_env(env_of(SALESFORCE_CLIENT_ID="id", SALESFORCE_CLIENT_SECRET_FILE=str(path)))

    assert "SALESFORCE_CLIENT_SECRET_FILE" in str(caught[0])


def test_a_bad_variable_is_named_and_not_printed() -> None:
    with refused("bad_setting") as caught:
        from_env(
            env_of(
                SALESFORCE_CLIENT_ID="id",
                SALESFORCE_CLIENT_SECRET="one",
                SALESFORCE_HEARTBEAT=PLANTED,
            )
        )

    assert "SALESFORCE_HEARTBEAT" in str(caught[0])


def test_an_environment_without_an_id_is_refused() -> None:
    with refused("no_client_id"):
        from_env(env_of(SALESFORCE_CLIENT_SECRET=PLANTED))


@pytest.mark.parametrize("secret", [{}, {"SALESFORCE_CLIENT_SECRET": " , "}], ids=["absent", "blank"])
def test_a_forgotten_secret_does_not_make_a_public_client(secret: dict[str, str]) -> None:
    with refused("no_client_secret") as caught:
        from_env(env_of(SALESFORCE_CLIENT_ID="id", **secret))

    assert "SALESFORCE_PUBLIC_CLIENT" in str(caught[0])


def test_a_public_client_is_asked_for_by_name() -> None:
    found = from_env(env_of(SALESFORCE_CLIENT_ID="id", SALESFORCE_PUBLIC_CLIENT="true"))

    assert found["CLIENT_SECRET"] is None
