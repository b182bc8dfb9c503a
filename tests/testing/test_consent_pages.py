from __future__ import annotations

import pytest

from django_sf_oauth.testing import FakeSalesforce
from django_sf_oauth.testing.controls import PASSWORD

from .browser import Browser
from .site import CALLBACK, Site, query_of


@pytest.fixture
def browser(fake: FakeSalesforce) -> Browser:
    return Browser(fake)


def logged_in(browser: Browser, site: Site, **changed: str) -> str:
    """The page after the login of the first user."""
    browser.log_in(site.authorize_url(**changed), browser.fake.user.username, PASSWORD)
    return browser.html


def test_a_person_logs_in_allows_and_comes_back_with_a_code(browser: Browser, site: Site) -> None:
    page = logged_in(browser, site)
    assert "Manage user data via APIs" in page
    assert CALLBACK in page

    answer = browser.submit("/__fake__/consent", decision="allow")

    assert answer.status == 302
    assert site.exchange(query_of(answer.headers["Location"])["code"]).status_code == 200


def test_a_person_denies(browser: Browser, site: Site) -> None:
    logged_in(browser, site)

    answer = browser.submit("/__fake__/consent", decision="deny")

    assert query_of(answer.headers["Location"])["error"] == "access_denied"


def test_a_scope_without_words_is_named_as_it_is(browser: Browser, site: Site, fake: FakeSalesforce) -> None:
    fake.app.scopes = ["api", "chatter_api"]

    assert "chatter_api" in logged_in(browser, site, scope="api chatter_api")


@pytest.mark.parametrize("why", ["password", "username", "deactivated", "org", "host"])
def test_who_cannot_log_in_is_told_the_same_whatever_the_reason(
    browser: Browser, site: Site, fake: FakeSalesforce, why: str
) -> None:
    sandbox = fake.add_org("UAT", my_domain="acme--uat.sandbox.my.salesforce.com", is_sandbox=True)
    fake.add_user("avery@acme.example.uat", org=sandbox)
    username = {"username": "nobody@acme.example", "host": "avery@acme.example.uat"}.get(why, fake.user.username)
    fake.user.active, fake.org.active = why != "deactivated", why != "org"
    browser.get(site.authorize_url())

    browser.submit("/__fake__/login", username=username, password="wrong" if why == "password" else PASSWORD)

    assert "Please check your username and password" in browser.html
    assert f'value="{username}"' in browser.html


def test_only_users_who_belong_to_the_host_are_offered(browser: Browser, site: Site, fake: FakeSalesforce) -> None:
    sandbox = fake.add_org("UAT", my_domain="acme--uat.sandbox.my.salesforce.com", is_sandbox=True)
    fake.add_user("avery@acme.example.uat", org=sandbox)

    browser.get(site.authorize_url())
    assert "avery@acme.example.uat" not in browser.html
    browser.get(site.authorize_url("https://test.salesforce.com"))
    assert "avery@acme.example.uat" in browser.html


def test_the_login_hint_fills_the_username(browser: Browser, site: Site) -> None:
    browser.get(site.authorize_url(login_hint="jules@acme.example"))

    assert 'value="jules@acme.example"' in browser.html


def test_an_approval_given_before_is_not_asked_for_again(browser: Browser, site: Site) -> None:
    logged_in(browser, site)
    browser.submit("/__fake__/consent", decision="allow")

    again = browser.get(site.authorize_url())

    assert "code" in query_of(again.headers["Location"])


@pytest.mark.parametrize(
    ("prompt", "scope"), [("consent", "api"), ("", "api refresh_token openid web")], ids=["prompt", "more scopes"]
)
def test_consent_is_asked_for_again_when_told_to_or_for_more(
    browser: Browser, site: Site, prompt: str, scope: str
) -> None:
    logged_in(browser, site)
    browser.submit("/__fake__/consent", decision="allow")

    assert browser.get(site.authorize_url(prompt=prompt, scope=scope)).status == 200
    assert "Allow access?" in browser.html


@pytest.mark.parametrize("prompt", ["login", "select_account", "login consent"])
def test_prompt_login_asks_once_more_and_only_once(browser: Browser, site: Site, prompt: str) -> None:
    logged_in(browser, site)

    browser.get(site.authorize_url(prompt=prompt))
    assert "Made-up users" in browser.html
    answer = browser.submit("/__fake__/login", username=browser.fake.user.username, password=PASSWORD)
    browser.get(answer.headers["Location"])

    assert "Allow access?" in browser.html


def test_immediate_never_shows_a_page(browser: Browser, site: Site) -> None:
    stranger = browser.get(site.authorize_url(immediate="true"))
    assert query_of(stranger.headers["Location"])["error"] == "immediate_unsuccessful"

    logged_in(browser, site)
    browser.submit("/__fake__/consent", decision="allow")
    known = browser.get(site.authorize_url(immediate="true"))

    assert "code" in query_of(known.headers["Location"])


def test_not_you_goes_back_to_the_login(browser: Browser, site: Site) -> None:
    logged_in(browser, site)

    answer = browser.submit("/__fake__/logout")
    browser.get(answer.headers["Location"])

    assert "Made-up users" in browser.html


@pytest.mark.parametrize("path", ["/__fake__/login", "/__fake__/logout", "/__fake__/consent"])
def test_a_form_of_another_site_is_refused(browser: Browser, site: Site, path: str) -> None:
    logged_in(browser, site)

    answer = browser.submit(path, csrf_token="forged", decision="allow")

    assert answer.status == 403
    assert list(browser.fake.world.live_approvals()) == []


@pytest.mark.parametrize("path", ["/__fake__/login", "/__fake__/logout", "/__fake__/consent"])
def test_a_form_whose_request_was_changed_to_a_wrong_one_is_refused(
    browser: Browser, site: Site, path: str
) -> None:
    logged_in(browser, site)

    assert browser.submit(path, request="client_id=3MVG9.unknown", decision="allow").status == 403


def test_consent_needs_a_login(browser: Browser, site: Site) -> None:
    browser.get(site.authorize_url())

    assert browser.submit("/__fake__/consent", decision="allow").status == 403


def test_a_cookie_planted_before_the_login_is_worth_nothing_after(browser: Browser, site: Site) -> None:
    browser.get(site.authorize_url())
    planted = browser.cookie
    answer = browser.submit("/__fake__/login", username=browser.fake.user.username, password=PASSWORD)
    assert answer.status == 303

    browser.cookie = planted
    browser.get(site.authorize_url())

    assert "Made-up users" in browser.html


def test_a_new_login_ends_the_one_before(browser: Browser, site: Site) -> None:
    logged_in(browser, site)
    before = browser.cookie
    logged_in(browser, site, prompt="login")
    assert browser.cookie != before

    browser.cookie = before
    browser.get(site.authorize_url())

    assert "Made-up users" in browser.html


def test_a_cookie_that_cannot_be_read_is_a_new_browser(browser: Browser, site: Site) -> None:
    browser.cookie = "a[]=b; fake_salesforce_session; =; fake_salesforce_session=1; \x00"

    assert browser.get(site.authorize_url()).status == 200


@pytest.mark.parametrize(
    ("changed", "explained"),
    [
        ({"client_id": "3MVG9.unknown"}, "No connected app has this consumer key"),
        ({"redirect_uri": "https://evil.example/"}, "letter for letter"),
        ({"scope": None, "response_type": None, "client_id": None}, "Missing client_id parameter"),
    ],
    ids=["client", "redirect", "no client"],
)
def test_errors_of_the_setup_stay_on_a_page_that_explains(
    browser: Browser, site: Site, changed: dict[str, str | None], explained: str
) -> None:
    browser.fake.app.redirect_uris = [CALLBACK]

    answer = browser.get(site.authorize_url(**changed))

    assert answer.status == 400
    assert explained in browser.html
    assert "Location" not in answer.headers


def test_an_error_for_the_site_goes_back_without_a_page(browser: Browser, site: Site) -> None:
    answer = browser.get(site.authorize_url(scope="pardot_api"))

    assert query_of(answer.headers["Location"])["error"] == "invalid_scope"
    assert browser.fake.requests[-1].outcome == "invalid_scope"


def test_what_the_site_sends_is_escaped(browser: Browser, site: Site) -> None:
    browser.get(site.authorize_url(login_hint='"><script>alert(1)</script>'))

    assert "<script" not in browser.html


def test_pages_are_held_by_a_strict_policy_and_say_that_they_are_fake(browser: Browser, site: Site) -> None:
    answer = browser.get(site.authorize_url())

    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'; form-action *")
    assert answer.headers["Cache-Control"] == "no-cache, no-store"
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "This is not Salesforce" in browser.html
    assert " style=" not in browser.html


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/__fake__/style.css", 200, "text/css"),
        ("/__fake__/mark.svg", 200, "image/svg+xml"),
        ("/__fake__/../server.py", 404, "text/plain"),
        ("/", 404, "text/plain"),
    ],
)
def test_only_the_assets_are_served(browser: Browser, path: str, status: int, kind: str) -> None:
    answer = browser.get(path)

    assert answer.status == status
    assert answer.headers["Content-Type"].startswith(kind)
