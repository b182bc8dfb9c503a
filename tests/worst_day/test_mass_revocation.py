"""``sf_oauth_revoke`` on the worst day: real processes, killed; a fake Salesforce on a real port."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from django_sf_oauth.models import ConnectionEvent, Hold, PendingRevocation, SalesforceConnection
from django_sf_oauth.services import outbox, revoking
from tests.fleet import connect_many
from tests.races.site import Site, Worker, open_site, reload, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

MANY = 40
REVOKE = "/services/oauth2/revoke"


@pytest.fixture
def site(settings: Any) -> Iterator[Site]:
    with open_site(settings) as site:
        settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "REVOKE_RATE": "40/s"}
        yield site


@pytest.fixture
def rows(site: Site) -> list[SalesforceConnection]:
    return connect_many(site.fake, MANY, login_url=site.origin)


@contextmanager
def command(site: Site, row: SalesforceConnection, *words: str, stop_after: int = 0) -> Iterator[Worker]:
    task: dict[str, Any] = {"words": words, "stop_after": stop_after}
    with site.worker_each([row], module="tests.worst_day.worker", **task) as (worker,):
        worker.go()
        yield worker


def revoke_all(site: Site, row: SalesforceConnection) -> str:
    with command(site, row, "--all", "--yes", "--json") as worker:
        return worker.hear()


def asked(site: Site) -> Counter[str]:
    """The requests to revoke, by how Salesforce answered."""
    return Counter(exchange.outcome for exchange in site.fake.journal if exchange.path == REVOKE)


def assert_all_is_over(site: Site) -> None:
    """None is skipped, and none told twice."""
    assert not SalesforceConnection.objects.connected().exists()
    for token in ("access_token", "refresh_token"):
        assert not SalesforceConnection.objects.filter(**{f"{token}__isnull": False}).exists()
    assert not PendingRevocation.objects.exists()
    assert list(site.fake.world.live_approvals()) == []
    kinds = Counter(event.kind for event in ConnectionEvent.objects.all())
    assert kinds == {"disconnected": MANY, "revoked": MANY}
    assert not Hold.objects.exists()


def test_all_is_revoked_and_nothing_stays_stopped(site: Site, rows: list[SalesforceConnection]) -> None:
    said = revoke_all(site, rows[0])

    assert said == f'{{"revoked": {MANY}}}'
    assert asked(site) == {"ok": MANY}
    assert_all_is_over(site)


def test_a_command_killed_while_it_blocks_goes_on_where_it_was(
    site: Site, rows: list[SalesforceConnection]
) -> None:
    with command(site, rows[0], "--all", "--yes", stop_after=3) as worker:
        worker.await_stop("batch")
        worker.kill()
    half_way = SalesforceConnection.objects.connected().count(), asked(site)

    said = revoke_all(site, rows[0])

    assert half_way == (MANY - 15, {})
    assert said == f'{{"revoked": {MANY}}}'
    assert asked(site) == {"ok": MANY}
    assert_all_is_over(site)


def test_what_a_killed_command_has_not_reached_stays_stopped(site: Site, rows: list[SalesforceConnection]) -> None:
    with command(site, rows[0], "--all", "--yes", stop_after=1) as worker:
        worker.await_stop("batch")
        worker.kill()

    assert [(hold.scope, hold.reason, hold.until) for hold in Hold.objects.all()] == [
        ("all", "mass_revocation", None)
    ]


def test_a_command_killed_while_it_revokes_skips_none_and_doubles_no_more_than_it_had_not_written_down(
    site: Site, rows: list[SalesforceConnection]
) -> None:
    with command(site, rows[0], "--all", "--yes") as worker:
        wait_for(lambda: asked(site)["ok"] >= MANY // 2)
        worker.kill()
    unusable = not SalesforceConnection.objects.connected().exists()
    revoked, waiting = ConnectionEvent.objects.filter(kind="revoked").count(), PendingRevocation.objects.count()

    revoke_all(site, rows[0])

    assert unusable
    assert 0 < waiting == MANY - revoked
    assert asked(site)["ok"] == MANY
    assert asked(site)["invalid_token"] <= outbox.SETTLE + outbox.AT_ONCE
    assert_all_is_over(site)


def test_a_killed_command_can_be_finished_by_another(site: Site, rows: list[SalesforceConnection]) -> None:
    with command(site, rows[0], "--all", "--yes") as worker:
        wait_for(lambda: asked(site)["ok"] >= MANY // 2)
        worker.kill()
    Hold.objects.all().delete()

    with command(site, rows[0], "--pending", "--json") as worker:
        worker.hear()

    assert_all_is_over(site)


def test_two_commands_at_once_tell_each_once(site: Site, rows: list[SalesforceConnection]) -> None:
    with command(site, rows[0], "--all", "--yes") as one, command(site, rows[0], "--all", "--yes") as other:
        one.hear()
        other.hear()

    assert asked(site)["ok"] == MANY
    assert_all_is_over(site)


def test_the_late_answer_to_a_refresh_in_flight_is_revoked_as_well(site: Site) -> None:
    row = site.connect()
    with site.workers(row, processes=1, threads=1, stops={"answered": 1}) as (late,):
        late.go()
        late.await_stop("answered")
        first = revoking.revoke_connections(SalesforceConnection.objects.all())
        alive = len(list(site.fake.world.live_approvals()))
        late.go_on()
        late.fared()

    left = [pending.reason for pending in PendingRevocation.objects.all()]
    assert (first, alive, left) == ({"revoked": 1}, 1, ["came_late"])
    assert (reload(row).access_token, reload(row).refresh_token) == (None, None)
    assert revoking.revoke_connections(SalesforceConnection.objects.all()) == {"revoked": 1}
    assert list(site.fake.world.live_approvals()) == []
