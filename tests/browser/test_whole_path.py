"""The demo in a real browser: connect, call, refresh, reconnect, disconnect, under a strict policy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ci import IN_CI
from tests.running_demo import Demo, running_demo

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

POLICY = "default-src 'self'; form-action 'self'"
AUTHORIZE = "**/services/oauth2/authorize?*"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), "")
MISSING = [name for name, found in (("playwright", find_spec("playwright")), ("Chromium", CHROMIUM)) if not found]

# In CI it fails instead: there a browser test that does not run would be missed by nobody.
pytestmark = pytest.mark.skipif(bool(MISSING) and not IN_CI, reason=f"needs {' and '.join(MISSING)}")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with running_demo(tmp_path_factory.mktemp("demo")) as demo:
        demo.wait_until_it_says("Ctrl-C stops it")
        yield demo


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """One person at one browser, whose steps are told in the site's own words."""

    def __init__(self, page: Page, demo: Demo, pictures: Path) -> None:
        self.page = page
        self.demo = demo
        self._console: list[str] = []
        self._pictures = pictures
        page.set_default_timeout(30_000)  # milliseconds
        page.on("console", lambda message: self._console.append(message.text))

    @property
    def violations(self) -> list[str]:
        """What the browser's console says of the policy."""
        return [text for text in self._console if "Content Security Policy" in text]

    def picture(self, name: str) -> None:
        self.page.screenshot(path=self._pictures / f"{name}.png", full_page=True)

    def open(self, path: str) -> None:
        response = self.page.goto(f"{self.demo.site}{path}")
        assert response is not None
        assert response.headers["content-security-policy"] == POLICY

    def sign_in(self) -> None:
        self.open("/")
        self.picture("01-start")
        self.page.get_by_role("link", name="Sign in").click()
        self.picture("02-sign-in")
        self.page.get_by_label("Username").fill("lena")
        self.page.get_by_label("Password").fill("lena-demo")
        self.page.get_by_role("button", name="Sign in").click()

    def press_connect(self) -> None:
        self.page.get_by_role("button", name="Connect Salesforce").click()

    def log_in_at_the_fake(self) -> None:
        self.page.get_by_label("Username").fill("avery.morgan@acme-outdoor.example")
        self.page.get_by_label("Password").fill("correct-horse")
        self.page.get_by_role("button", name="Log In").click()

    def decide(self, decision: str) -> None:
        self.page.get_by_role("button", name=decision, exact=True).click()
        self.page.wait_for_url(f"{self.demo.site}/**")

    def press_in_panel(self, button: str) -> None:
        self.page.goto(self.demo.panel)
        self.page.locator(f"button[value={button}]").click()
        self.page.get_by_role("status").wait_for()

    def token_requests(self) -> int:
        self.page.goto(self.demo.panel)
        return int(self.page.locator("#token-requests").inner_text())

    def sees(self, text: str) -> bool:
        return self.page.get_by_text(text).first.is_visible()

    def connection_id(self) -> str:
        """The id of the only card on the page of connections."""
        self.open("/salesforce/")
        return str(self.page.locator(".sf-oauth-card").get_attribute("id"))


@pytest.fixture
def visit(browser: Browser, demo: Demo, tmp_path: Path) -> Iterator[Visit]:
    pictures = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    pictures.mkdir(parents=True, exist_ok=True)
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    yield Visit(context.new_page(), demo, pictures)
    context.close()


def test_a_user_connects_calls_refreshes_reconnects_and_disconnects(visit: Visit) -> None:
    page = visit.page
    visit.sign_in()
    visit.picture("03-not-connected")

    _connect_with_a_picture_of_every_page(visit)
    assert page.url == f"{visit.demo.site}/accounts/"
    assert visit.sees("Halcyon Ski Works")
    visit.picture("07-accounts")
    first_id = visit.connection_id()
    assert visit.sees("Acme Outdoor")
    visit.picture("08-connections")

    visit.press_in_panel("expire")
    visit.picture("09-panel-expired")
    before = visit.token_requests()
    visit.open("/accounts/")
    assert visit.sees("Halcyon Ski Works")
    assert visit.sees("Access token renewed for this page")
    visit.picture("10-accounts-refreshed")
    assert visit.token_requests() == before + 1

    visit.press_in_panel("revoke")
    visit.open("/accounts/")
    assert visit.sees("Reconnect needed")
    visit.picture("11-reconnect")

    page.get_by_role("button", name="Reconnect").click()
    visit.decide("Allow")
    assert page.url == f"{visit.demo.site}/accounts/"
    assert visit.sees("Halcyon Ski Works")
    assert visit.connection_id() == first_id
    visit.picture("12-connected-again")

    page.get_by_role("link", name="Disconnect").click()
    visit.picture("13-disconnect")
    page.get_by_role("button", name="Disconnect").click()
    assert visit.sees("is disconnected, and Salesforce has revoked the access")
    visit.picture("14-disconnected")
    visit.open("/")
    assert visit.sees("Connect your Salesforce")
    page.goto(visit.demo.panel)
    assert page.locator("#approvals").inner_text() == "0"
    assert visit.violations == []


def _connect_with_a_picture_of_every_page(visit: Visit) -> None:
    # The page in between goes on by itself. An answer without content keeps it there for its picture.
    visit.page.route(AUTHORIZE, lambda route: route.fulfill(status=204))
    visit.press_connect()
    visit.page.locator("#sf-oauth-continue").wait_for()
    visit.picture("04-continue")
    visit.page.unroute(AUTHORIZE)
    visit.page.locator("#sf-oauth-continue").click()
    visit.page.get_by_label("Username").wait_for()
    visit.picture("05-log-in")
    visit.log_in_at_the_fake()
    visit.picture("06-consent")
    visit.decide("Allow")


def test_a_denied_consent_ends_on_a_plain_page(visit: Visit) -> None:
    visit.sign_in()
    visit.press_connect()
    visit.log_in_at_the_fake()

    visit.decide("Deny")

    assert visit.sees("access_denied")
    visit.picture("15-denied")
    visit.open("/")
    assert visit.sees("Connect your Salesforce")
    assert visit.violations == []
