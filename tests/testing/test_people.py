from __future__ import annotations

from typing import Any

import pytest
import requests

from django_sf_oauth.testing import FakeSalesforce

from .site import LOGIN, Site


def ask(site: Site, url: str, token: str | None) -> requests.Response:
    return site.get(url, headers={"Authorization": f"Bearer {token}"} if token else {})


def urls(issued: dict[str, Any]) -> list[str]:
    return [f"{LOGIN}/services/oauth2/userinfo", issued["id"]]


def test_userinfo_and_identity_name_the_user(fake: FakeSalesforce, site: Site) -> None:
    issued = fake.issue()

    info, identity = (ask(site, url, issued["access_token"]).json() for url in urls(issued))

    assert info["sub"] == identity["id"] == issued["id"]
    assert info["preferred_username"] == identity["username"] == fake.user.username
    assert info["name"] == identity["display_name"] == "Avery Morgan"
    assert (info["given_name"], identity["last_name"]) == ("Avery", "Morgan")
    for person in (info, identity):
        assert person["organization_id"] == fake.org.id
        assert person["user_id"] == fake.user.id
        assert person["email"] == fake.user.username


@pytest.mark.parametrize(
    ("token", "word"), [("00Dnope!x", "Bad_OAuth_Token"), (None, "Missing_OAuth_Token")], ids=["dead", "none"]
)
def test_a_dead_token_gets_403_and_a_word(fake: FakeSalesforce, site: Site, token: str | None, word: str) -> None:
    for url in urls(fake.issue()):
        answer = ask(site, url, token)

        assert (answer.status_code, answer.text) == (403, word)
        assert answer.headers["Content-Type"].startswith("text/plain")


def test_the_identity_of_somebody_else_is_a_bad_id(fake: FakeSalesforce, site: Site) -> None:
    issued = fake.issue()

    answer = ask(site, f"{LOGIN}/id/{fake.org.id}/005000000000001AAA", issued["access_token"])

    assert (answer.status_code, answer.text) == (404, "Bad_Id")


def test_discovery_describes_the_host_that_is_asked(site: Site) -> None:
    found = site.get("https://test.salesforce.com/.well-known/openid-configuration").json()

    assert found["issuer"] == "https://test.salesforce.com"
    assert found["token_endpoint"] == "https://test.salesforce.com/services/oauth2/token"
