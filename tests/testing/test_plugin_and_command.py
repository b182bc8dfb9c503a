from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_sf_oauth.conf import get_apps
from django_sf_oauth.exceptions import ConfigurationError
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.testing import FakeSalesforce
from django_sf_oauth.testing.from_settings import fake_from_settings
from django_sf_oauth.testing.plugin import fake_salesforce, salesforce_connection
from django_sf_oauth.testing.server import FakeServer
from tests.journey import connect, signed_in_client

from .site import Site

__all__ = ["fake_salesforce", "salesforce_connection"]  # pytest finds the fixtures in this module


def test_the_fixture_knows_the_apps_of_the_settings(fake_salesforce: FakeSalesforce) -> None:
    assert set(fake_salesforce.world.apps) == {app.client_id for app in get_apps().values()}
    assert fake_salesforce.app.secrets == list(get_apps()["default"].client_secrets)


def test_the_connection_of_the_fixture_is_live(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    stored = SalesforceConnection.objects.get(pk=salesforce_connection.pk)
    assert stored.access_token is not None
    tokens = {
        "access_token": stored.access_token.reveal(),
        "instance_url": stored.instance_url,
    }

    assert stored.status == SalesforceConnection.Status.ACTIVE
    assert Site(fake_salesforce).lives(tokens)


def test_settings_without_an_app_are_a_configuration_error(settings: Any) -> None:
    settings.SALESFORCE_OAUTH = {}

    with pytest.raises(ConfigurationError, match="names no connected app"):
        fake_from_settings()


@pytest.fixture
def settings_of_development(settings: Any) -> None:
    """As the how-to gives them for a fake that is served: here nobody listens."""
    settings.SALESFORCE_OAUTH = {
        "CLIENT_ID": "any-id",
        "CLIENT_SECRET": "any-secret",
        "LOGIN_URL": "http://127.0.0.1:8001",
        "TRUSTED_HOSTS": ["127.0.0.1:8001"],
    }


def test_with_the_settings_of_development_the_fake_answers_at_their_login_url(
    settings_of_development: None, fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    fake_salesforce.expire_access_tokens()

    assert salesforce_connection.client().get("limits").status_code == 200
    assert salesforce_connection.login_url == salesforce_connection.instance_url == "http://127.0.0.1:8001"
    assert fake_salesforce.token_requests == 1


@pytest.mark.django_db
def test_with_the_settings_of_development_a_user_connects(
    settings_of_development: None, fake_salesforce: FakeSalesforce
) -> None:
    connect(signed_in_client(), fake_salesforce)

    assert SalesforceConnection.objects.get().login_url == "http://127.0.0.1:8001"


def test_the_plugin_imports_next_to_nothing() -> None:
    """pytest loads it in every run of everybody who has the package installed."""
    code = "import sys, pytest; before = set(sys.modules); import django_sf_oauth.testing.plugin; " + (
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout  # noqa: S603  # our own code

    loaded = set(printed.strip("[]\n").replace("'", "").split(", "))
    assert loaded.isdisjoint({"django", "requests", "oauthlib", "urllib3"})


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[FakeServer]:
    """The servers that the command started; each is interrupted at once, as by Ctrl-C."""
    started: list[FakeServer] = []

    def interrupted(server: FakeServer) -> None:
        started.append(server)
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeServer, "wait", interrupted)
    return started


def run(**options: Any) -> str:
    out = io.StringIO()
    call_command("sf_oauth_fake", port=0, stdout=out, allow_production=True, **options)
    return out.getvalue()


def test_the_command_says_where_to_click_and_stops_on_ctrl_c(served: list[FakeServer]) -> None:
    printed = run()

    assert f"{served[0].url}/__panel__/" in printed
    assert printed.endswith("Stopped.\n")
    assert not any(secret in printed for app in get_apps().values() for secret in app.client_secrets)


def test_the_command_takes_an_app_of_its_own(served: list[FakeServer]) -> None:
    run(
        client_id="3MVG9.own",
        client_secret="own-secret",
        redirect_uri=["https://site.example/cb/"],
        no_rotation=True,
        seed="none",
    )

    fake = served[0].fake
    assert (fake.app.client_id, fake.app.secrets) == ("3MVG9.own", ["own-secret"])
    assert fake.app.redirect_uris == ["https://site.example/cb/"]
    assert fake.rotation is False
    assert len(fake.world.users) == 1


def test_the_command_refuses_to_start_outside_debug() -> None:
    with pytest.raises(CommandError, match="DEBUG is off"):
        call_command("sf_oauth_fake", port=0)


def test_the_command_refuses_to_start_beyond_loopback() -> None:
    with pytest.raises(CommandError, match="allow_remote"):
        run(host="0.0.0.0")  # noqa: S104  # the point of the test


def test_the_command_says_which_port_is_taken() -> None:
    with FakeServer(FakeSalesforce()) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(CommandError, match=f"127.0.0.1, port {port}: .*in use.* another --port"):
            call_command("sf_oauth_fake", port=port, allow_production=True)


def test_the_command_asks_for_a_client_id_when_the_settings_have_none(settings: Any) -> None:
    settings.SALESFORCE_OAUTH = {}

    with pytest.raises(CommandError, match="--client-id"):
        run()


def test_waiting_ends_with_the_server() -> None:
    fake = FakeSalesforce()
    server = FakeServer(fake)
    with server:
        pass

    server.wait()

    assert fake.world.origin is None
