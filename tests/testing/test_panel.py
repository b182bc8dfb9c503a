from __future__ import annotations

from collections.abc import Callable

import pytest

from django_sf_oauth.testing import FakeSalesforce
from django_sf_oauth.testing.panel import ACTIONS
from django_sf_oauth.testing.seed import seed_demo

from .browser import Browser
from .site import Site


@pytest.fixture
def panel(fake: FakeSalesforce) -> Browser:
    browser = Browser(fake)
    browser.get("/__panel__/")
    return browser


def press(panel: Browser, button: str) -> str:
    """Presses a button and returns the page that follows."""
    answer = panel.submit("/__panel__/", do=button)
    assert answer.status == 303
    panel.get(answer.headers["Location"])
    return panel.html


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_has_a_button_and_says_what_it_did(panel: Browser, action: str) -> None:
    assert f'value="{action}"' in panel.html or f'value="{action}:' in panel.html

    assert ACTIONS[action].done in press(panel, action)


@pytest.mark.parametrize(
    ("button", "state"),
    [
        ("rotation", lambda fake: not fake.rotation),
        ("slow", lambda fake: fake.delay > 0),
        ("maintenance", lambda fake: fake.maintenance),
        ("block", lambda fake: bool(fake.app.bars)),
        ("ip", lambda fake: all(org.ip_restricted for org in fake.world.orgs.values())),
        ("user:avery.morgan@acme-outdoor.example", lambda fake: not fake.user.active),
    ],
)
def test_a_switch_goes_there_and_back(
    fake: FakeSalesforce, panel: Browser, button: str, state: Callable[[FakeSalesforce], bool]
) -> None:
    seed_demo(fake)

    seen = [state(fake)]
    for _ in range(2):
        press(panel, button)
        seen.append(state(fake))

    assert seen == [False, True, False]


@pytest.mark.parametrize(("button", "alive"), [("expire", True), ("revoke", False)])
def test_tokens_end_by_a_press(fake: FakeSalesforce, site: Site, panel: Browser, button: str, alive: bool) -> None:
    issued = fake.issue()

    press(panel, button)

    assert not site.lives(issued)
    assert (site.refresh(issued["refresh_token"]).status_code == 200) is alive


def test_a_users_own_buttons_spare_the_others(fake: FakeSalesforce, site: Site, panel: Browser) -> None:
    jules = fake.add_user("jules@acme.example")
    averys, juless = fake.issue(), fake.issue(user=jules)

    press(panel, f"revoke:{jules.username}")

    assert (site.lives(averys), site.lives(juless)) == (True, False)


def test_moving_moves_every_org(fake: FakeSalesforce, panel: Browser) -> None:
    seed_demo(fake)

    press(panel, "move")

    assert all(org.instance_host != org.my_domain for org in fake.world.orgs.values())


@pytest.mark.parametrize(("button", "outcome"), [("lose", "lost"), ("fail", "HTTP 503")])
def test_the_next_token_request_is_in_trouble(
    fake: FakeSalesforce, site: Site, panel: Browser, button: str, outcome: str
) -> None:
    press(panel, button)

    try:
        site.refresh(fake.issue()["refresh_token"])
    except OSError:
        assert button == "lose"

    assert fake.requests[-1].outcome == outcome


def test_the_list_of_requests_shows_no_token(fake: FakeSalesforce, site: Site, panel: Browser) -> None:
    issued = fake.issue()
    site.refresh(issued["refresh_token"])
    site.refresh(issued["refresh_token"])

    panel.get("/__panel__/")

    assert "expired access/refresh token" in panel.html
    assert issued["refresh_token"] not in panel.html
    assert issued["access_token"] not in panel.html
    assert fake.app.secrets[0] not in panel.html


@pytest.mark.parametrize(
    "fields", [{"csrf_token": "forged", "do": "revoke"}, {"do": "format"}], ids=["forged", "unknown action"]
)
def test_a_forged_press_changes_nothing(
    fake: FakeSalesforce, site: Site, panel: Browser, fields: dict[str, str]
) -> None:
    issued = fake.issue()

    assert panel.submit("/__panel__/", **fields).status == 403
    assert site.lives(issued)
