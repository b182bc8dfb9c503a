from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator

import pytest
import requests

from django_sf_oauth.adapters import shared_adapter
from django_sf_oauth.testing import FakeSalesforce, ForeignHost
from django_sf_oauth.testing.faults import SURFACES, Held

from .site import LOGIN, Site


def test_a_planned_answer_comes_as_often_as_planned_and_spends_nothing(fake: FakeSalesforce, site: Site) -> None:
    token = fake.issue()["refresh_token"]
    fake.fail_next(status=429, body="{}", content_type="application/json", headers={"Retry-After": "7"}, times=2)

    answers = [site.refresh(token) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "7"


@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_can_be_made_to_fail(fake: FakeSalesforce, site: Site, surface: str) -> None:
    issued = fake.issue()
    path = {
        "token": "/services/oauth2/token",
        "revoke": "/services/oauth2/revoke",
        "introspect": "/services/oauth2/introspect",
        "userinfo": "/services/oauth2/userinfo",
        "identity": issued["id"].removeprefix(LOGIN),
        "discovery": "/.well-known/openid-configuration",
        "authorize": "/services/oauth2/authorize",
        "api": "/services/data/v66.0/",
    }[surface]
    fake.fail_next(where=surface, body="<h1>Oops</h1>")  # type: ignore[arg-type]  # one of SURFACES

    answer = site.get(LOGIN + path)

    assert (answer.status_code, answer.text) == (503, "<h1>Oops</h1>")
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("status", [302, 307, 308])
def test_a_redirect_to_another_host_is_seen_when_it_is_followed(
    fake: FakeSalesforce, site: Site, status: int
) -> None:
    fake.fail_next(status=status, headers={"Location": "https://evil.example/steal"})

    with pytest.raises(ForeignHost, match=r"evil\.example") as raised:
        site.refresh("5Aep861s3cret")

    assert raised.value.host == "evil.example"
    assert fake.requests[-1].outcome == "foreign_host"


def test_a_gzip_bomb_arrives_as_one(fake: FakeSalesforce, site: Site) -> None:
    fake.fail_next(status=200, body=gzip.compress(b"0" * 100_000), headers={"Content-Encoding": "gzip"})

    assert len(site.refresh("x").content) == 100_000


def test_an_answer_drips(fake: FakeSalesforce, site: Site, naps: list[float]) -> None:
    fake.fail_next(status=200, body="slow", drip=2.0)

    assert site.refresh("x").text == "slow"
    assert naps == [2.0] * 4


def test_a_stream_is_not_read_ahead(fake: FakeSalesforce, site: Site, naps: list[float]) -> None:
    fake.fail_next(status=200, body="slow", drip=2.0)

    answer = site.post(f"{LOGIN}/services/oauth2/token", stream=True)

    assert naps == []
    assert b"".join(answer.iter_content(2)) == b"slow"


def test_a_lost_answer_was_processed(fake: FakeSalesforce, site: Site) -> None:
    token = fake.issue()["refresh_token"]
    fake.lose_answer()

    with pytest.raises(requests.ConnectionError):
        site.refresh(token)

    assert fake.requests[-1].outcome == "lost"
    assert site.refresh(token).json()["error_description"] == "expired access/refresh token"


def test_only_answers_of_the_token_endpoint_are_lost(fake: FakeSalesforce, site: Site) -> None:
    issued = fake.issue()
    fake.lose_answer()

    assert site.lives(issued)


def test_a_delay_is_slept_at_the_token_endpoint_alone(fake: FakeSalesforce, site: Site, naps: list[float]) -> None:
    issued = fake.issue()
    fake.delay = 1.5

    site.call(issued)
    site.refresh(issued["refresh_token"])

    assert naps == [1.5]


def test_a_hold_that_nobody_comes_to_ends() -> None:
    with pytest.raises(TimeoutError):
        Held().wait_for(1, timeout=0.01)


def test_maintenance_closes_everything_but_the_panel(fake: FakeSalesforce, site: Site) -> None:
    fake.maintenance = True

    closed = site.refresh(fake.issue()["refresh_token"])

    assert fake.maintenance
    assert (closed.status_code, closed.headers["Content-Type"]) == (503, "text/html;charset=UTF-8")
    assert "down for maintenance" in closed.text
    assert site.get(f"{LOGIN}/__panel__/").status_code == 200


def test_inside_active_the_packages_requests_come_here(fake: FakeSalesforce) -> None:
    outside = shared_adapter()

    with fake.active() as active:
        assert active is fake
        assert shared_adapter() is not outside

    assert shared_adapter() is outside


def test_the_record_of_requests_holds_no_secret(fake: FakeSalesforce, site: Site) -> None:
    issued = site.exchange(site.code()).json()
    site.refresh(issued["refresh_token"])
    site.refresh(issued["refresh_token"])
    site.call(issued)

    entries = [(entry.method, entry.path, entry.grant_type, entry.outcome) for entry in fake.requests]

    assert entries == [
        ("POST", "/services/oauth2/token", "authorization_code", "ok"),
        ("POST", "/services/oauth2/token", "refresh_token", "ok"),
        ("POST", "/services/oauth2/token", "refresh_token", "invalid_grant"),
        ("GET", "/services/data/v66.0/limits", "", "INVALID_SESSION_ID"),
    ]
    assert fake.token_requests == 3
    for secret in (issued["access_token"], issued["refresh_token"], *site.credentials.values()):
        assert secret not in repr(fake.requests)


def test_an_error_without_a_code_is_recorded_by_its_status(fake: FakeSalesforce, site: Site) -> None:
    fake.fail_next(status=500)

    site.refresh("x")

    assert fake.requests[-1].outcome == "HTTP 500"


def test_the_world_prints_no_secret(fake: FakeSalesforce) -> None:
    issued = fake.issue()
    world = fake.world
    printed = repr([list(world.refresh_tokens.values()), list(world.access_tokens.values()), world.apps])

    for secret in (issued["access_token"], issued["refresh_token"], fake.app.secrets[0]):
        assert secret not in printed


def test_tokens_that_the_fake_receives_are_in_no_log(
    fake: FakeSalesforce, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    issued = site.exchange(site.code()).json()
    site.refresh(issued["refresh_token"])
    site.refresh("5Aep861unknown")

    for secret in (issued["refresh_token"], issued["access_token"], "5Aep861unknown"):
        assert secret not in caplog.text


def test_what_oauthlib_logs_elsewhere_is_left_alone(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("oauthlib.oauth2.rfc6749.grant_types.refresh_token")
    caplog.set_level(logging.DEBUG, logger=logger.name)
    # The logger itself is asked, so that nothing depends on what others have done to it and to those above it.
    monkeypatch.setattr(logger, "disabled", False)
    monkeypatch.setattr(logger, "handlers", [caplog.handler])

    FakeSalesforce()
    site.refresh(site.exchange(site.code()).json()["refresh_token"])
    logger.debug("a server of your own")

    assert "a server of your own" in caplog.text


def test_a_body_in_pieces_is_received(fake: FakeSalesforce, site: Site) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"token="
        yield issued["refresh_token"].encode()

    issued = fake.issue()

    assert site.post(f"{LOGIN}/services/oauth2/revoke", data=pieces()).status_code == 200


def test_controls_name_the_policies(fake: FakeSalesforce) -> None:
    fake.rotation = False

    assert fake.rotation is False
    assert fake.expire_access_tokens() == 0
    assert fake.revoke() == 0


def test_controls_reach_one_user_alone(fake: FakeSalesforce, site: Site) -> None:
    jules = fake.add_user("jules@acme.example")
    averys, juless = fake.issue(), fake.issue(user=jules)

    assert (fake.expire_access_tokens(jules), fake.revoke(jules)) == (1, 1)
    assert (site.lives(averys), site.lives(juless)) == (True, False)


def test_an_org_moves_where_it_is_told(fake: FakeSalesforce) -> None:
    assert fake.move_instance(host="na99.salesforce.com") == "na99.salesforce.com"
    assert fake.issue()["instance_url"] == "https://na99.salesforce.com"


def test_the_package_exports_what_it_says() -> None:
    from django_sf_oauth import testing

    assert sorted(testing.__all__) == testing.__all__
    assert all(getattr(testing, name) for name in testing.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = testing.nothing
