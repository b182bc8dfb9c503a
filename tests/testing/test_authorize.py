from __future__ import annotations

import pytest

from django_sf_oauth.testing import FakeSalesforce
from django_sf_oauth.testing.authorize import NoCallback

from .site import CALLBACK, LOGIN, Site, query_of


def test_consent_returns_a_code_and_the_state(fake: FakeSalesforce, site: Site) -> None:
    callback = fake.authorize(site.authorize_url())

    assert callback.startswith(CALLBACK)
    assert query_of(callback)["state"] == "st4te"
    assert query_of(callback)["code"].startswith("aPrx")


def test_denial_returns_salesforces_words_and_the_state(fake: FakeSalesforce, site: Site) -> None:
    callback = fake.authorize(site.authorize_url(), allow=False)

    assert query_of(callback) == {
        "error": "access_denied",
        "error_description": "end-user denied authorization",
        "state": "st4te",
    }


def test_another_user_is_chosen_by_username(fake: FakeSalesforce, site: Site) -> None:
    jules = fake.add_user("Jules@Acme.example", name="Jules Tan")

    code = query_of(fake.authorize(site.authorize_url(), username="jules@acme.example"))["code"]

    assert site.exchange(code).json()["id"].endswith(jules.id)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        pytest.param({"client_id": "3MVG9.unknown"}, "invalid_client_id", id="unknown client"),
        pytest.param({"redirect_uri": "https://evil.example/"}, "redirect_uri_mismatch", id="foreign redirect"),
        pytest.param({"redirect_uri": f"{CALLBACK}?x=1"}, "redirect_uri_mismatch", id="redirect with more"),
        pytest.param({"redirect_uri": None}, "redirect_uri_missing", id="no redirect"),
        pytest.param({"client_id": None}, "invalid_request", id="no client"),
    ],
)
def test_these_errors_stay_on_salesforces_own_page(
    fake: FakeSalesforce, site: Site, changed: dict[str, str | None], error: str
) -> None:
    fake.app.redirect_uris = [CALLBACK]

    with pytest.raises(NoCallback) as raised:
        fake.authorize(site.authorize_url(**changed))

    assert raised.value.error == error


def test_a_query_that_is_not_form_encoded_stays_on_the_own_page(fake: FakeSalesforce) -> None:
    with pytest.raises(NoCallback, match="malformed request"):
        fake.authorize(f"{LOGIN}/services/oauth2/authorize?a b&<c>")


@pytest.mark.parametrize(
    ("changed", "error", "description"),
    [
        pytest.param(
            {"scope": "api pardot_api"}, "invalid_scope", "the requested scope is not allowed", id="foreign scope"
        ),
        pytest.param(
            {"code_challenge": None, "code_challenge_method": None},
            "invalid_request",
            "missing required code challenge",
            id="no challenge",
        ),
        pytest.param(
            {"code_challenge_method": "plain"}, "invalid_request", "invalid code challenge method", id="plain"
        ),
    ],
)
def test_these_errors_come_back_to_the_site(
    fake: FakeSalesforce, site: Site, changed: dict[str, str | None], error: str, description: str
) -> None:
    fake.app.pkce_required = True

    callback = fake.authorize(site.authorize_url(**changed))

    assert query_of(callback) == {"error": error, "error_description": description, "state": "st4te"}


@pytest.mark.parametrize("scope", ["offline_access", "refresh_token"])
def test_the_refresh_scope_goes_by_two_names(fake: FakeSalesforce, site: Site, scope: str) -> None:
    fake.app.scopes = ["api", "refresh_token"]

    answer = site.exchange(site.code(scope=f"api {scope}")).json()

    assert answer["scope"] == f"api {scope}"
    assert answer["refresh_token"].startswith("5Aep861")


def test_the_refresh_scope_needs_to_be_allowed(fake: FakeSalesforce, site: Site) -> None:
    fake.app.scopes = ["api"]

    callback = fake.authorize(site.authorize_url(scope="api refresh_token"))

    assert query_of(callback)["error"] == "invalid_scope"


def test_without_a_scope_the_scopes_of_the_app_are_granted(fake: FakeSalesforce, site: Site) -> None:
    fake.app.scopes = ["api", "id"]

    answer = site.exchange(site.code(scope=None)).json()

    assert answer["scope"] == "api id"


@pytest.mark.parametrize(
    ("reason", "error", "description"),
    [
        ("blocked", "OAUTH_APP_BLOCKED", "this app is blocked by admin"),
        ("not_installed", "invalid_client", "app must be installed into org"),
        ("not_approved", "OAUTH_APP_ACCESS_DENIED", "user is not admin approved to access this app"),
    ],
)
def test_an_app_that_is_kept_out_gets_no_code(
    fake: FakeSalesforce, site: Site, reason: str, error: str, description: str
) -> None:
    fake.block_app(reason)

    callback = fake.authorize(site.authorize_url())

    assert query_of(callback) == {"error": error, "error_description": description, "state": "st4te"}


def test_an_app_kept_out_of_one_org_still_gets_into_another(fake: FakeSalesforce, site: Site) -> None:
    other = fake.add_org("Bluefin", my_domain="bluefin.my.salesforce.com")
    fake.add_user("sam@bluefin.example", org=other)
    fake.block_app(org=fake.org)

    assert "error" in query_of(fake.authorize(site.authorize_url()))
    assert "code" in query_of(fake.authorize(site.authorize_url(), username="sam@bluefin.example"))


def test_the_sixth_approval_revokes_the_oldest(fake: FakeSalesforce, site: Site) -> None:
    first, *others = [site.exchange(site.code()).json() for _ in range(5)]
    assert site.lives(first)

    site.code()  # counts although nobody exchanges the code

    assert not site.lives(first)
    assert site.refresh(first["refresh_token"]).json()["error_description"] == "expired access/refresh token"
    assert all(site.lives(answer) for answer in others)


def test_five_approvals_are_counted_per_app_and_user(fake: FakeSalesforce, site: Site) -> None:
    first = fake.issue()
    other_app = fake.add_app("3MVG9.other", None)
    other_user = fake.add_user("jules@acme.example")

    for _ in range(5):
        fake.issue(app=other_app)
        fake.issue(user=other_user)

    assert site.lives(first)
