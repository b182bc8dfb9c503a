from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from django_sf_oauth.testing import FakeSalesforce

from .site import LOGIN, Site

DEAD = {"error": "invalid_grant", "error_description": "expired access/refresh token"}


def test_without_rotation_no_refresh_token_comes_and_the_old_stays_good(fake: FakeSalesforce, site: Site) -> None:
    fake.rotation = False
    token = fake.issue()["refresh_token"]

    answers = [site.refresh(token) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert not any("refresh_token" in answer.json() for answer in answers)


def test_with_rotation_each_refresh_brings_a_new_refresh_token(fake: FakeSalesforce, site: Site) -> None:
    first = fake.issue()["refresh_token"]

    second = site.refresh(first).json()["refresh_token"]
    third = site.refresh(second).json()["refresh_token"]

    assert len({first, second, third}) == 3


def test_a_replay_kills_the_whole_family_under_policy_two(fake: FakeSalesforce, site: Site) -> None:
    issued = fake.issue()
    rotated = site.refresh(issued["refresh_token"]).json()
    assert site.lives(rotated)

    replay = site.refresh(issued["refresh_token"])

    assert (replay.status_code, replay.json()) == (400, DEAD)
    assert not site.lives(rotated)
    assert site.refresh(rotated["refresh_token"]).json() == DEAD


def test_a_replay_is_merely_refused_under_policy_one(fake: FakeSalesforce, site: Site) -> None:
    fake.replay = "I"
    issued = fake.issue()
    rotated = site.refresh(issued["refresh_token"]).json()

    assert site.refresh(issued["refresh_token"]).json() == DEAD
    assert fake.replay == "I"
    assert site.lives(rotated)
    assert site.refresh(rotated["refresh_token"]).status_code == 200


def test_a_second_request_in_flight_for_one_token_is_refused(fake: FakeSalesforce, site: Site) -> None:
    token = fake.issue()["refresh_token"]

    with ThreadPoolExecutor(1) as pool, fake.hold() as held:
        first = pool.submit(site.refresh, token)
        held.wait_for(1)
        second = site.refresh(token)
        held.release()

    assert second.status_code == 400
    assert second.json() == {
        "error": "invalid_grant",
        "error_description": "token request is already being processed",
    }
    assert first.result().status_code == 200


def test_requests_for_two_tokens_may_be_in_flight_together(fake: FakeSalesforce, site: Site) -> None:
    tokens = [fake.issue()["refresh_token"] for _ in range(2)]

    with ThreadPoolExecutor(2) as pool, fake.hold() as held:
        answers = [pool.submit(site.refresh, token) for token in tokens]
        held.wait_for(2)

    assert [answer.result().status_code for answer in answers] == [200, 200]


def test_one_token_under_twenty_threads_is_refreshed_as_often_as_it_is_answered(fake: FakeSalesforce) -> None:
    fake.rotation = False
    token = fake.issue()["refresh_token"]
    start = threading.Barrier(20)

    def refresh() -> int:
        with Site(fake) as site:
            start.wait(10)
            return site.refresh(token).status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = [answer.result() for answer in [pool.submit(refresh) for _ in range(20)]]

    assert 1 + statuses.count(200) == len(fake.world.access_tokens)
    assert fake.token_requests == 20


@pytest.mark.parametrize("base", ["https://test.salesforce.com", "https://acme-outdoor.my.salesforce.com"])
def test_the_right_token_at_the_wrong_host_looks_dead_and_stays_good(
    fake: FakeSalesforce, site: Site, base: str
) -> None:
    token = fake.issue()["refresh_token"]

    assert site.refresh(token, base).json() == DEAD
    assert site.refresh(token).status_code == 200


def test_a_grant_given_at_my_domain_is_refreshed_there(fake: FakeSalesforce, site: Site) -> None:
    issued = fake.issue(login_host="acme-outdoor.my.salesforce.com")

    assert site.refresh(issued["refresh_token"]).json() == DEAD
    assert site.refresh(issued["refresh_token"], "https://acme-outdoor.my.salesforce.com").status_code == 200


def test_a_sandbox_user_gets_tokens_from_the_sandboxes_host(fake: FakeSalesforce, site: Site) -> None:
    org = fake.add_org("UAT", my_domain="acme--uat.sandbox.my.salesforce.com", is_sandbox=True)
    issued = fake.issue(user=fake.add_user("avery@acme.example.uat", org=org))

    answer = site.refresh(issued["refresh_token"], "https://test.salesforce.com")

    assert issued["id"].startswith("https://test.salesforce.com/id/")
    assert answer.json()["instance_url"] == "https://acme--uat.sandbox.my.salesforce.com"


def test_a_stolen_refresh_token_is_useless_to_another_app(fake: FakeSalesforce, site: Site) -> None:
    fake.add_app("3MVG9.thief", "thiefs-secret")

    stolen = site.refresh(fake.issue()["refresh_token"], client_id="3MVG9.thief", client_secret="thiefs-secret")

    assert stolen.json() == DEAD


@pytest.mark.parametrize(
    ("changed", "description"),
    [
        ({"scope": "api"}, "scope parameter not supported"),
        ({"refresh_token": None}, "Missing refresh token parameter."),
    ],
    ids=["scope", "no token"],
)
def test_a_wrong_refresh_is_an_invalid_request(
    fake: FakeSalesforce, site: Site, changed: dict[str, str | None], description: str
) -> None:
    form = {
        "grant_type": "refresh_token",
        "refresh_token": fake.issue()["refresh_token"],
        **site.credentials,
        **changed,
    }

    answer = site.post(f"{LOGIN}/services/oauth2/token", data=form)

    assert answer.json() == {"error": "invalid_request", "error_description": description}


def test_an_unknown_refresh_token_is_dead(site: Site) -> None:
    assert site.refresh("5Aep861unknown").json() == DEAD


def test_either_secret_is_good_while_it_is_rotated(fake: FakeSalesforce, site: Site) -> None:
    old = fake.app.secrets[0]
    fake.rotate_secret("new-secret")

    statuses = [
        site.refresh(fake.issue()["refresh_token"], client_secret=secret).status_code
        for secret in (old, "new-secret")
    ]

    assert statuses == [200, 200]


def test_the_instance_moves_and_the_next_refresh_tells(fake: FakeSalesforce, site: Site) -> None:
    issued = fake.issue()
    other = fake.add_org("Bluefin", my_domain="bluefin.my.salesforce.com")
    elsewhere = fake.issue(user=fake.add_user("sam@bluefin.example", org=other))

    host = fake.move_instance(fake.org)
    moved = site.refresh(issued["refresh_token"]).json()

    assert moved["instance_url"] == f"https://{host}"
    assert site.lives(moved)
    assert not site.lives(issued)
    assert not site.lives({**moved, "instance_url": issued["instance_url"]})
    assert site.lives(elsewhere)
