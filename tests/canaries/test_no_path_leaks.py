"""Every path, every error of it, every sink: no secret in any."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests
from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone

from django_sf_oauth import tasks
from django_sf_oauth.models import ConnectAttempt, Hold, Notice, PendingRevocation, SalesforceConnection
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_user
from tests.journey import begin, come_back, connect, query_of

from .browsing import Browser
from .conftest import Site
from .plants import MARK, planted

pytestmark = pytest.mark.django_db(transaction=True)

JSON = "application/json"


# What whoever calls has in their own frames: no package can keep it from a report that shows all frames.
OF_THE_CALLER = ("debug page", "error report", "locals")


def leaky(**members: str) -> str:
    """The body of an answer that holds tokens although it is an error."""
    tokens = {"access_token": f"00D000000000001!{planted('access')}", "refresh_token": planted("refresh")}
    return json.dumps({**tokens, **members})


def refusal(error: str, description: str = "") -> dict[str, Any]:
    said = f"{description} {planted('refresh')}".strip()
    return {"status": 400, "body": leaky(error=error, error_description=said), "content_type": JSON}


ANSWERS: dict[str, dict[str, Any]] = {
    "server-error-with-tokens": {"status": 500, "body": leaky(), "content_type": JSON},
    "server-error-page": {"status": 503, "body": f"<p>{planted('refresh')}</p>"},
    "proxy-page": {"status": 200, "body": f"<html>{planted('access')}</html>"},
    "half-an-answer": {"status": 200, "body": leaky()[:-9], "content_type": JSON},
    "token-with-a-blank": {
        "status": 200,
        "body": leaky(access_token=f"a {planted('access')}"),
        "content_type": JSON,
    },
    "form-encoded": {
        "status": 500,
        "body": f"error=x&access_token={planted('access')}",
        "content_type": "application/x-www-form-urlencoded",
    },
    "too-large": {"status": 200, "body": planted("refresh") * 9000},
    "redirect": {"status": 307, "headers": {"Location": f"https://evil.example/?t={planted('access')}"}},
    "odd-headers": {"status": 429, "headers": {"Retry-After": planted("access")}},
    "latin-1": {"status": 200, "body": f"\xff{planted('access')}".encode("latin-1"), "content_type": JSON},
    **{
        error: refusal(error, said)
        for error, said in [
            ("invalid_grant", "expired access/refresh token"),
            ("invalid_grant", "expired authorization code"),
            ("inactive_user", ""),
            ("invalid_client", "invalid client credentials"),
            ("invalid_client_id", "client identifier invalid"),
            ("OAUTH_APP_BLOCKED", "this app is blocked by admin"),
            ("unknown_error", "retry your request"),
            ("unsupported_grant_type", ""),
            ("rate_limit_exceeded", ""),
            (f"strange{MARK}", ""),
        ]
    },
}


def test_a_whole_life_leaks_nothing(site: Site, check: Any) -> None:
    connection = site.connected()
    site.browser.get("/salesforce/")
    connection.client().get("query", params={"q": "SELECT Id FROM Account"})
    site.fake.expire_access_tokens()
    connection.client().get("query", params={"q": "SELECT Id FROM Account"})
    connection.refresh()
    site.browser.post(f"/salesforce/{connection.uuid}/make-default/")
    connect(site.browser, site.fake, uuid=connection.uuid)
    site.browser.get(f"/salesforce/{connection.uuid}/disconnect/")
    site.browser.post(f"/salesforce/{connection.uuid}/disconnect/")

    connection.refresh_from_db()
    assert connection.status == "disconnected"
    assert check() == []


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_a_callback_that_salesforce_answers_badly_leaks_nothing(
    site: Site, check: Any, answer: dict[str, Any]
) -> None:
    location = site.fake.authorize(begin(site.browser))
    site.fake.fail_next(times=2, **answer)  # with one consumer secret, and with the other

    come_back(site.browser, location)

    assert not SalesforceConnection.objects.exists()
    assert check() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": "bad"},
        {"id": "https://evil.example/id/00D000000000001EAA/005000000000001AAA"},
        {"instance_url": "https://evil.example"},
        {"instance_url": "https://attacker.my.salesforce.com@evil.example"},
        {"scope": "openid"},
        {"refresh_token": ""},
    ],
    ids=["signature", "identity", "instance", "userinfo", "scope", "no-refresh-token"],
)
def test_a_hostile_answer_leaks_nothing(site: Site, check: Any, changes: dict[str, Any]) -> None:
    location = site.fake.authorize(begin(site.browser))
    site.fake.fail_next(status=200, body=json.dumps({**site.fake.issue(), **changes}), content_type=JSON)

    come_back(site.browser, location)

    assert check() == []


CALLBACKS = {
    "no-state": "code={code}",
    "unknown-state": "code={code}&state={secret}",
    "twice": "code={code}&code={code}&state={state}",
    "two-states": "code={code}&state={state}&state={secret}",
    "code-and-error": "code={code}&error=access_denied&state={state}",
    "control": "code={code}%00&state={state}",
    "not-utf-8": "code={code}%ff%fe&state={state}",
    "oversize": "code={code}" + "x" * 5000 + "&state={state}",
    "denied": "error=access_denied&error_description={secret}&state={state}",
    "strange": "error={secret}&error_description={secret}&state={state}",
    "used-code": "code={secret}&state={state}",
}


@pytest.mark.parametrize("query", CALLBACKS.values(), ids=CALLBACKS.keys())
@pytest.mark.parametrize("who", ["own", "signed-out", "somebody-else"])
def test_a_hostile_callback_leaks_nothing(site: Site, check: Any, query: str, who: str) -> None:
    location = site.fake.authorize(begin(site.browser))
    browser = {"own": site.browser, "somebody-else": Browser(site.net, make_user())}.get(who, site.browser)
    if who == "signed-out":
        browser.logout()

    browser.get("/salesforce/callback/?" + query.format(secret=planted("code"), **query_of(location)))

    assert check() == []


def test_a_lost_answer_leaks_nothing(site: Site, check: Any) -> None:
    location = site.fake.authorize(begin(site.browser))
    site.fake.lose_answer(1)

    come_back(site.browser, location)

    assert check() == []


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_a_refresh_that_salesforce_answers_badly_leaks_nothing(
    site: Site, check: Any, answer: dict[str, Any]
) -> None:
    connection = site.connected()
    site.fake.expire_access_tokens()
    site.fake.fail_next(times=3, **answer)

    for act in (connection.refresh, lambda: connection.client().get("query"), connection.valid_access_token):
        site.attempt(act)

    site.browser.get("/salesforce/")
    assert check() == []


TROUBLE: dict[str, Callable[[FakeSalesforce], object]] = {
    "revoked": lambda fake: fake.revoke(),
    "lost": lambda fake: fake.lose_answer(1),
    "maintenance": lambda fake: setattr(fake, "maintenance", True),
    "blocked": lambda fake: fake.block_app(),
    "inactive-user": lambda fake: fake.deactivate_user(),
    "inactive-org": lambda fake: fake.deactivate_org(),
    "address": lambda fake: fake.restrict_ip(),
    "moved": lambda fake: fake.move_instance(),
    "api": lambda fake: fake.fail_next(status=500, body=leaky(), where="api", times=3),
}


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE.keys())
def test_trouble_at_salesforce_leaks_nothing(
    site: Site, check: Any, trouble: Callable[[FakeSalesforce], object]
) -> None:
    connection = site.connected()
    site.fake.expire_access_tokens()
    trouble(site.fake)

    async def aget() -> None:
        async with connection.async_client() as client:
            await client.get("query", params={"q": "SELECT Id FROM Account"})

    site.attempt(lambda: connection.client().get("query", params={"q": "SELECT Id FROM Account"}))
    site.attempt(lambda: asyncio.run(aget()))
    site.attempt(connection.refresh)
    site.attempt(connection.disconnect)
    site.attempt(connection.refresh)
    assert check() == []


def test_keys_that_are_gone_leak_nothing(site: Site, check: Any) -> None:
    connection = site.connected()
    with override_settings(FERNET_KEYS=[planted("key")]):
        connection = SalesforceConnection.objects.get(pk=connection.pk)
        site.attempt(lambda: connection.access_token.reveal())  # type: ignore[union-attr]  # there is one
        site.attempt(connection.refresh)
        site.attempt(lambda: connection.client().get("query"))
        site.browser.get("/salesforce/")
        site.attempt(connection.disconnect)
        assert check() == []


@pytest.mark.parametrize(
    "write",
    [
        lambda row: SalesforceConnection.objects.update(access_token=planted("access")),
        lambda row: setattr(row, "access_token", planted("access").encode()),
        lambda row: SalesforceConnection.objects.filter(refresh_token=planted("refresh")).first(),
        lambda row: SalesforceConnection.objects.get(access_token__contains=planted("access")),
        lambda row: SalesforceConnection(access_token=planted("access")).save(),
        lambda row: PendingRevocation(token=planted("refresh")).full_clean(),
    ],
    ids=["update", "bytes", "filter", "lookup", "incomplete", "clean"],
)
def test_a_write_that_is_refused_leaks_nothing(site: Site, check: Any, write: Callable[[Any], object]) -> None:
    site.attempt(lambda: write(site.connected()))

    assert check(but=OF_THE_CALLER) == []


def test_a_session_of_ones_own_leaks_nothing_but_its_own_frames(site: Site, check: Any) -> None:
    connection = site.connected()

    site.attempt(lambda: requests.get(f"{connection.instance_url}/x", auth=connection.auth(), timeout=1))

    assert check(but=OF_THE_CALLER) == []


def test_the_admin_leaks_nothing(site: Site, check: Any) -> None:
    connection = site.connected()
    Hold.objects.create(scope="org:" + connection.organization_id, reason="incident")
    admin = Browser(site.net, make_user(is_staff=True, is_superuser=True))
    base = "/admin/django_sf_oauth"
    for path in ("salesforceconnection", "connectionevent", "hold"):
        assert admin.get(f"{base}/{path}/").status_code == 200
    admin.get(f"{base}/salesforceconnection/{connection.pk}/change/")
    admin.get(f"{base}/salesforceconnection/?q={connection.username}")
    rows = f"{base}/salesforceconnection/"

    def act(action: str, **more: str) -> None:
        admin.post(rows, {"_selected_action": [connection.pk], "action": action, **more}, follow=True)

    act("refresh_now")
    Hold.objects.all().delete()
    act("refresh_now")
    act("revoke_and_disconnect")
    act("revoke_and_disconnect", post="yes")

    assert check() == []


COMMANDS = [
    "sf_oauth_check --live",
    "sf_oauth_check --live --json",
    "sf_oauth_list",
    "sf_oauth_list --json",
    "sf_oauth_refresh --all",
    "sf_oauth_refresh --due --json",
    "sf_oauth_holds",
    "sf_oauth_holds --json",
    "sf_oauth_notify",
    "sf_oauth_prune",
    "sf_oauth_revoke --all --yes --json",
    "sf_oauth_revoke --pending",
]


@pytest.mark.parametrize("maintenance", [False, True], ids=["up", "down"])
def test_the_commands_leak_nothing(site: Site, check: Any, maintenance: bool) -> None:
    site.connected()
    site.fake.maintenance = maintenance

    for line in COMMANDS:
        site.attempt(lambda line=line: call_command(*line.split()))

    assert check() == []


def test_mails_leak_nothing(site: Site, check: Any, mailoutbox: list[Any]) -> None:
    connection = site.connected()
    site.fake.revoke()
    site.attempt(connection.refresh)
    site.fake.rotate_secret("another", keep_old=False)
    site.attempt(site.connected)
    Notice.objects.update(due_at=timezone.now() - timedelta(minutes=1))

    tasks.send_notices.apply()
    tasks.send_digest.apply()

    assert len(mailoutbox) >= 2
    assert check() == []


def test_a_deleted_user_leaks_nothing(site: Site, check: Any) -> None:
    site.connected()
    site.fake.maintenance = True

    site.user.delete()
    site.attempt(lambda: call_command("sf_oauth_revoke", "--pending"))

    assert PendingRevocation.objects.count() == 1
    assert check() == []


def test_attempts_that_are_open_leak_nothing(site: Site, check: Any) -> None:
    begin(site.browser)

    site.browser.get("/salesforce/")

    assert ConnectAttempt.objects.count() == 1
    assert check() == []
