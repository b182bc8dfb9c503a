from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from django_sf_oauth.testing import FakeSalesforce
from django_sf_oauth.testing.server import FakeServer, NotLoopback, is_loopback

from .site import Site, query_of


@pytest.fixture
def server(fake: FakeSalesforce) -> Iterator[FakeServer]:
    with FakeServer(fake) as server:
        yield server


@pytest.fixture
def served(fake: FakeSalesforce, server: FakeServer) -> Iterator[Site]:
    """A site whose requests go over the wire."""
    with Site(fake) as site:
        yield site


def test_the_whole_flow_over_the_wire(fake: FakeSalesforce, server: FakeServer, served: Site) -> None:
    code = query_of(fake.authorize(served.authorize_url(server.url)))["code"]

    first = served.exchange(code, server.url).json()
    second = served.refresh(first["refresh_token"], server.url).json()

    assert first["instance_url"] == server.url
    assert first["id"].startswith(f"{server.url}/id/")
    assert served.lives(second)
    assert served.revoke(second["refresh_token"], server.url).status_code == 200
    assert not served.lives(second)


def test_a_moved_org_keeps_the_one_origin(fake: FakeSalesforce, server: FakeServer, served: Site) -> None:
    issued = fake.issue()
    fake.move_instance()

    assert not served.lives(issued)
    assert served.lives(served.refresh(issued["refresh_token"], server.url).json())


def test_every_user_may_log_in_at_the_one_origin(fake: FakeSalesforce, server: FakeServer, served: Site) -> None:
    fake.add_user("sam@bluefin.example", org=fake.add_org("Bluefin", my_domain="bluefin.my.salesforce.com"))

    page = served.get(served.authorize_url(server.url))

    assert page.status_code == 200
    assert "sam@bluefin.example" in page.text


def test_a_lost_answer_is_a_connection_cut(fake: FakeSalesforce, server: FakeServer, served: Site) -> None:
    token = fake.issue()["refresh_token"]
    fake.lose_answer()

    with pytest.raises(requests.ConnectionError):
        served.refresh(token, server.url)

    assert fake.requests[-1].outcome == "lost"


def test_a_hostile_answer_arrives_as_planned(fake: FakeSalesforce, server: FakeServer, served: Site) -> None:
    fake.fail_next(status=420, body="slow", drip=0.1)

    answer = served.refresh("x", server.url)

    assert (answer.status_code, answer.text) == (420, "slow")


def test_dns_rebinding_reaches_nothing(fake: FakeSalesforce, server: FakeServer) -> None:
    answer = requests.get(f"{server.url}/__panel__/", headers={"Host": "evil.example"}, timeout=10)

    assert answer.status_code == 421
    assert "evil.example" in answer.text


def test_nothing_is_written_to_the_terminal(
    server: FakeServer, served: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    served.get(served.authorize_url(server.url))

    assert capfd.readouterr() == ("", "")


def test_after_the_server_the_fake_has_salesforces_hosts_again(fake: FakeSalesforce) -> None:
    with FakeServer(fake) as server:
        assert fake.world.hosts() == {server.url.removeprefix("http://")}

    assert "login.salesforce.com" in fake.world.hosts()


def test_ipv6_and_an_origin_of_ones_own(fake: FakeSalesforce) -> None:
    server = FakeServer(fake, host="::1", origin="https://fake.example")
    with server:
        pass
    named = FakeServer(fake, host="::1")
    with named:
        pass

    assert server.url == "https://fake.example"
    assert named.url.startswith("http://[::1]:")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "fake.example"])  # noqa: S104  # the point
def test_nothing_is_served_beyond_loopback_unless_told(fake: FakeSalesforce, host: str) -> None:
    with pytest.raises(NotLoopback):
        FakeServer(fake, host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_is_recognised(host: str) -> None:
    assert is_loopback(host)


def test_remote_is_served_when_told(fake: FakeSalesforce) -> None:
    with FakeServer(fake, host="0.0.0.0", allow_remote=True, origin="http://127.0.0.1") as server:  # noqa: S104  # the point of the test
        assert server.url == "http://127.0.0.1"
