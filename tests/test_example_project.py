"""The example: its settings, and its pages against the fake."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_user
from tests.faults.databases import server_only
from tests.journey import connect
from tests.running_demo import MANAGE, demo_environment

REAL = {"SALESFORCE_CLIENT_ID": "3MVG9.real.client", "SALESFORCE_CLIENT_SECRET": "made-up-for-the-test"}
POLICY = "default-src 'self'; form-action 'self'"


def manage(var: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own command
        [sys.executable, MANAGE, *arguments],
        env={**demo_environment(var), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        pytest.param(["check"], {}, id="with the fake"),
        pytest.param(["check"], REAL, id="with a connected app"),
        pytest.param(["check", "--deploy"], REAL, id="deployed"),
        pytest.param(["makemigrations", "--check"], {}, id="migrations"),
    ],
)
def test_the_example_has_nothing_to_complain_about(
    tmp_path: Path, arguments: list[str], environment: dict[str, str]
) -> None:
    done = manage(tmp_path, *arguments, **environment)

    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.strip() in {"System check identified no issues (0 silenced).", "No changes detected"}


def test_a_key_is_made_once_and_for_this_user_alone(tmp_path: Path) -> None:
    manage(tmp_path, "check")
    first = (tmp_path / "fernet.key").read_text()
    manage(tmp_path, "check")

    assert (tmp_path / "fernet.key").read_text() == first
    assert (tmp_path / "fernet.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "secret.key").read_text() != first


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The settings of the example, as they are without any environment."""
    var = tmp_path_factory.mktemp("var")
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() - demo_environment(var).keys():
            patch.delenv(name)
        patch.setenv("EXAMPLE_VAR", str(var))
        return import_module("example_project.settings")


@pytest.fixture
def site(db: None, example: ModuleType, settings: Settings) -> Client:
    for name in ("LOGIN_URL", "LOGIN_REDIRECT_URL", "MIDDLEWARE", "ROOT_URLCONF", "TEMPLATES"):
        setattr(settings, name, getattr(example, name))
    settings.INSTALLED_APPS = [*example.INSTALLED_APPS, "tests.uuid_user"]
    settings.FAKE_PANEL = example.FAKE_PANEL
    return Client()


def text_of(response: Any) -> str:
    return str(response.content.decode())


def test_every_page_comes_with_the_policy_and_the_way_to_the_fake(site: Client) -> None:
    response = site.get("/")

    assert response.headers["Content-Security-Policy"] == POLICY
    assert "http://127.0.0.1:8001/__panel__/" in text_of(response)


def test_with_the_real_salesforce_no_page_speaks_of_a_fake(site: Client, settings: Settings) -> None:
    settings.FAKE_PANEL = ""

    assert "fake" not in text_of(site.get("/"))


def test_a_visitor_is_asked_to_sign_in(site: Client) -> None:
    assert "Sign in" in text_of(site.get("/"))
    assert site.get("/accounts/").headers["Location"] == "/login/?next=/accounts/"


def test_a_wrong_password_is_said(site: Client) -> None:
    response = site.post("/login/", {"username": "lena", "password": "wrong"})

    assert "Please enter a correct username and password" in text_of(response)


def test_whoever_signs_in_and_has_no_connection_is_offered_the_button(site: Client) -> None:
    make_user(username="lena", password="right")

    response = site.post("/login/", {"username": "lena", "password": "right"}, follow=True)

    assert 'action="/salesforce/connect/"' in text_of(response)


def test_only_staff_are_led_to_the_admin(site: Client) -> None:
    site.force_login(make_user())
    assert "/admin/" not in text_of(site.get("/"))

    site.force_login(make_user(is_staff=True))
    assert "/admin/" in text_of(site.get("/"))


@pytest.fixture
def connected(site: Client, salesforce_connection: SalesforceConnection) -> Client:
    site.force_login(salesforce_connection.user)
    return site


def test_the_accounts_are_those_of_the_users_own_org(connected: Client, fake_salesforce: FakeSalesforce) -> None:
    fake_salesforce.org.accounts[0]["Name"] = "Rainford & Sons"

    page = text_of(connected.get("/accounts/"))

    assert "Rainford &amp; Sons" in page
    assert "Connected" in page


def test_connecting_from_the_start_page_leads_to_the_accounts(
    site: Client, fake_salesforce: FakeSalesforce
) -> None:
    site.force_login(make_user())

    response = connect(site, fake_salesforce, next="/accounts/")

    assert response.headers["Location"] == "/accounts/"
    assert "Acme Outdoor" in text_of(site.get("/"))


def test_an_expired_token_is_renewed_while_the_page_loads(
    connected: Client, fake_salesforce: FakeSalesforce
) -> None:
    fake_salesforce.expire_access_tokens()

    first, second = text_of(connected.get("/accounts/")), text_of(connected.get("/accounts/"))

    assert "Access token renewed for this page" in first
    assert "Access token renewed <time" in second
    assert fake_salesforce.token_requests == 1


def test_a_revoked_connection_asks_to_reconnect_on_every_page(
    connected: Client, fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    fake_salesforce.revoke()

    response = connected.get("/accounts/")

    assert response.headers["Location"] == "/salesforce/?next=%2Faccounts%2F"
    assert f"/salesforce/{salesforce_connection.uuid}/reconnect/" in text_of(connected.get("/"))


def test_without_accounts_the_page_says_so(connected: Client, fake_salesforce: FakeSalesforce) -> None:
    fake_salesforce.fail_next(where="api", status=200, content_type="application/json", body='{"records": []}')

    assert "No accounts yet" in text_of(connected.get("/accounts/"))


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(lambda fake: setattr(fake, "maintenance", True), id="maintenance"),
        pytest.param(lambda fake: (fake.expire_access_tokens(), fake.fail_next(times=9)), id="no refresh"),
    ],
)
def test_when_salesforce_is_down_the_page_says_so_and_the_connection_stays(
    connected: Client,
    fake_salesforce: FakeSalesforce,
    salesforce_connection: SalesforceConnection,
    trouble: Callable[[FakeSalesforce], object],
) -> None:
    trouble(fake_salesforce)

    response = connected.get("/accounts/")

    assert response.status_code == 503
    assert "Salesforce does not answer right now" in text_of(response)
    salesforce_connection.refresh_from_db()
    assert salesforce_connection.status == SalesforceConnection.Status.ACTIVE


def test_the_packages_pages_wear_the_frame_of_the_site(connected: Client) -> None:
    page = text_of(connected.get("/salesforce/"))

    assert "Fieldbook" in page
    assert "Your Salesforce connections" in page
    assert 'class="sf-oauth"' in page


@server_only
def test_the_demo_resets_no_database_server(tmp_path: Path) -> None:
    done = manage(tmp_path, "demo", "--reset", DATABASE_URL=os.environ["DATABASE_URL"])

    assert done.returncode == 1
    assert "DATABASE_URL names a server" in done.stderr
