from __future__ import annotations

import pytest

from django_sf_oauth.testing import FakeSalesforce

from .site import Site
from .test_refresh import DEAD


@pytest.mark.parametrize(
    ("trouble", "error", "description"),
    [
        (lambda fake: fake.revoke(), "invalid_grant", "expired access/refresh token"),
        (lambda fake: fake.deactivate_user(), "invalid_grant", "inactive user"),
        (lambda fake: fake.deactivate_org(), "invalid_grant", "inactive organization"),
        (lambda fake: fake.restrict_ip(), "invalid_grant", "ip restricted"),
        (lambda fake: fake.block_app(), "app_blocked", "this app is blocked by admin"),
        (
            lambda fake: fake.block_app("not_installed"),
            "app_not_found",
            "External client app is not installed in this org",
        ),
        (
            lambda fake: fake.block_app("not_approved"),
            "invalid_app_access",
            "user is not admin approved to access this app",
        ),
        (
            lambda fake: fake.rotate_secret("new", keep_old=False),
            "invalid_client",
            "invalid client credentials",
        ),
    ],
    ids=["revoked", "user", "org", "ip", "blocked", "not installed", "not approved", "secret"],
)
def test_trouble_is_told_in_salesforces_words(
    fake: FakeSalesforce, site: Site, trouble: object, error: str, description: str
) -> None:
    token, old_secret = fake.issue()["refresh_token"], fake.app.secrets[0]
    trouble(fake)  # type: ignore[operator]  # a row of the table above

    answer = site.refresh(token, client_secret=old_secret)

    assert (answer.status_code, answer.json()) == (400, {"error": error, "error_description": description})


@pytest.mark.parametrize(
    ("trouble", "mend"),
    [
        (lambda fake: fake.deactivate_user(), lambda fake: fake.reactivate_user()),
        (lambda fake: fake.deactivate_org(), lambda fake: fake.reactivate_org()),
        (lambda fake: fake.block_app(), lambda fake: fake.unblock_app()),
        (lambda fake: fake.restrict_ip(), lambda fake: fake.restrict_ip(restricted=False)),
    ],
    ids=["user", "org", "app", "ip"],
)
def test_what_an_admin_mends_needs_no_new_consent(
    fake: FakeSalesforce, site: Site, trouble: object, mend: object
) -> None:
    token = fake.issue()["refresh_token"]
    trouble(fake)  # type: ignore[operator]  # a row of the table above
    assert site.refresh(token).status_code == 400

    mend(fake)  # type: ignore[operator]  # a row of the table above

    assert site.refresh(token).status_code == 200


def test_an_idle_limit_slides_with_use(fake: FakeSalesforce, site: Site) -> None:
    fake.rotation, fake.app.refresh_idle = False, 30 * 86400
    token = fake.issue()["refresh_token"]
    for _ in range(3):
        fake.advance(29 * 86400)
        assert site.refresh(token).status_code == 200

    fake.advance(31 * 86400)

    assert site.refresh(token).json() == DEAD


def test_a_fixed_life_ends_however_much_it_is_used(fake: FakeSalesforce, site: Site) -> None:
    fake.rotation, fake.app.refresh_lifetime = False, 100.0
    token = fake.issue()["refresh_token"]
    fake.advance(99)
    assert site.refresh(token).status_code == 200

    fake.advance(2)

    assert site.refresh(token).json()["error_description"] == "token validity expired"
