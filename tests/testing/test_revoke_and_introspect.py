from __future__ import annotations

import pytest

from django_sf_oauth.testing import FakeSalesforce

from .conftest import NOW
from .site import Site


def test_revoking_the_refresh_token_ends_its_access_tokens(fake: FakeSalesforce, site: Site) -> None:
    issued, other = fake.issue(), fake.issue()

    answer = site.revoke(issued["refresh_token"])

    assert (answer.status_code, site.lives(issued), site.lives(other)) == (200, False, True)
    assert site.refresh(issued["refresh_token"]).status_code == 400


def test_revoking_an_access_token_ends_that_session_alone(fake: FakeSalesforce, site: Site) -> None:
    issued = fake.issue()

    assert site.revoke(issued["access_token"]).status_code == 200
    assert not site.lives(issued)
    assert site.refresh(issued["refresh_token"]).status_code == 200


def test_a_token_that_is_already_revoked_is_an_invalid_token(fake: FakeSalesforce, site: Site) -> None:
    token = fake.issue()["refresh_token"]
    site.revoke(token)

    answer = site.revoke(token)

    assert (answer.status_code, answer.text) == (400, "error=invalid_token&error_description=invalid+token")
    assert answer.headers["Content-Type"] == "application/x-www-form-urlencoded;charset=UTF-8"


def test_a_rotated_token_cannot_revoke(fake: FakeSalesforce, site: Site) -> None:
    issued = fake.issue()
    rotated = site.refresh(issued["refresh_token"]).json()

    assert site.revoke(issued["refresh_token"], Accept="application/json").json()["error"] == "invalid_token"
    assert site.lives(rotated)


def test_revoking_nothing_is_an_invalid_request(site: Site) -> None:
    assert "error=invalid_request" in site.revoke("").text


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_revoking_at_the_wrong_host_finds_nothing(fake: FakeSalesforce, site: Site, kind: str) -> None:
    issued = fake.issue()

    answer = site.revoke(issued[kind], "https://test.salesforce.com")

    assert (answer.status_code, answer.text) == (404, "Bad_Id")
    assert site.lives(issued)


def test_a_live_access_token_introspects_with_seconds(fake: FakeSalesforce, site: Site) -> None:
    claims = site.introspect(fake.issue()["access_token"]).json()

    assert claims == {
        "active": True,
        "scope": "api refresh_token openid",
        "client_id": fake.app.client_id,
        "username": fake.user.username,
        "sub": fake.user.id,
        "token_type": "Bearer",
        "iat": int(NOW),
        "nbf": int(NOW),
        "exp": int(NOW) + 7200,
    }


def test_a_live_refresh_token_introspects_without_an_end(fake: FakeSalesforce, site: Site) -> None:
    claims = site.introspect(fake.issue()["refresh_token"]).json()

    assert claims["active"] is True
    assert "exp" not in claims


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_a_revoked_token_is_not_active(fake: FakeSalesforce, site: Site, kind: str) -> None:
    issued = fake.issue()
    fake.revoke()

    assert site.introspect(issued[kind]).json() == {"active": False}


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_another_app_learns_nothing_of_a_token(fake: FakeSalesforce, site: Site, kind: str) -> None:
    fake.add_app("3MVG9.thief", "thiefs-secret")

    answer = site.introspect(fake.issue()[kind], client_id="3MVG9.thief", client_secret="thiefs-secret")

    assert answer.json() == {"active": False}


def test_introspection_asks_the_client_to_authenticate(fake: FakeSalesforce, site: Site) -> None:
    answer = site.introspect(fake.issue()["access_token"], client_secret="wrong")

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")


def test_use_prolongs_a_session_only_past_half_of_its_life(fake: FakeSalesforce, site: Site) -> None:
    issued = fake.issue()

    fake.advance(3600)
    site.call(issued)
    assert site.introspect(issued["access_token"]).json()["exp"] == int(NOW) + 7200
    fake.advance(1)
    site.call(issued)

    assert site.introspect(issued["access_token"]).json()["exp"] == int(NOW) + 3601 + 7200
