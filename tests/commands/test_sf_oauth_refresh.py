from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command, load_command_class
from django.utils import timezone

from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import ConnectionEvent, Notice, PendingRevocation, SalesforceConnection
from django_sf_oauth.services import schedule
from django_sf_oauth.services.batches import BATCH
from django_sf_oauth.testing import FakeSalesforce
from tests.commands.conftest import Run
from tests.factories import make_connection
from tests.fleet import connect_many, connect_one

pytestmark = pytest.mark.django_db


def due() -> dict[str, Any]:
    return {"next_refresh_at": timezone.now() - timedelta(minutes=1)}


def test_named_connections_are_refreshed_now(run: Run, fake_salesforce: FakeSalesforce) -> None:
    named, _other = connect_many(fake_salesforce, 2)

    ran = run("sf_oauth_refresh", named.uuid)

    assert (ran.code, ran.out) == (0, "renewed: 1\n")
    assert fake_salesforce.token_requests == 1


def test_a_connection_that_was_given_up_is_left_out(run: Run, fake_salesforce: FakeSalesforce) -> None:
    gone = connect_one(fake_salesforce)
    gone.disconnect()

    ran = run("sf_oauth_refresh", gone.uuid)

    assert (ran.code, ran.out) == (0, "")


def test_one_that_fails_makes_the_command_fail_and_the_others_are_done(
    run: Run, fake_salesforce: FakeSalesforce
) -> None:
    dead, *_fine = connect_many(fake_salesforce, 3)
    fake_salesforce.revoke(fake_salesforce.world.users[dead.username])

    ran = run("sf_oauth_refresh", "--all", "--json")

    assert ran.code == 1
    assert ran.json == {"dead": 1, "renewed": 2}
    assert ran.said == "1 of 3 not done."


def test_due_refreshes_all_that_is_due(run: Run, fake_salesforce: FakeSalesforce) -> None:
    connect_many(fake_salesforce, 3, **due())
    connect_one(fake_salesforce)

    ran = run("sf_oauth_refresh", "--due", "--json")

    assert (ran.code, ran.json) == (0, {"renewed": 3})


def test_a_dry_run_says_how_many_are_due_since_when_and_claims_none(
    run: Run, fake_salesforce: FakeSalesforce
) -> None:
    connection = connect_one(fake_salesforce, next_refresh_at=timezone.now() - timedelta(hours=1))

    ran = run("sf_oauth_refresh", "--due", "--dry-run", "--json")

    assert ran.json["to_refresh"] == 1
    assert 3600 <= ran.json["oldest_due_age"] < 3700
    assert SalesforceConnection.objects.due(timezone.now()).get() == connection
    assert fake_salesforce.token_requests == 0


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--loop", "--all"], id="a loop over named ones"),
        pytest.param(["--due", "--all"], id="due, and named ones"),
    ],
)
def test_due_chooses_by_itself(run: Run, words: list[str]) -> None:
    make_connection()

    assert run("sf_oauth_refresh", *words).code == 2


class Passes(threading.Event):
    """Stands for the wait between two passes: makes something due each time, and stops after a few."""

    def __init__(self, fake: FakeSalesforce, most: int) -> None:
        super().__init__()
        self.fake = fake
        self.most = most
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        if len(self.waits) == self.most:
            os.kill(os.getpid(), signal.SIGTERM)
        elif len(self.waits) == 1:
            connect_one(self.fake, **due())
        return self.is_set()


@pytest.mark.django_db(transaction=True)  # it closes old connections between two passes
def test_a_loop_goes_on_until_a_signal_asks_it_to_stop(fake_salesforce: FakeSalesforce, capsys: Any) -> None:
    connect_one(fake_salesforce, **due())
    command: Any = load_command_class("django_sf_oauth", "sf_oauth_refresh")
    command.stop = Passes(fake_salesforce, most=3)
    before = signal.getsignal(signal.SIGTERM)

    call_command(command, "--due", "--loop", "--interval", "7")

    assert command.stop.waits == [7.0, 7.0, 7.0]
    assert capsys.readouterr().out == "renewed: 1\n" * 2
    assert set(SalesforceConnection.objects.values_list("generation", flat=True)) == {2}
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.django_db(transaction=True)
def test_a_loop_that_is_asked_to_stop_begins_no_further_batch(
    fake_salesforce: FakeSalesforce, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = connect_many(fake_salesforce, BATCH + 3, **due())
    make_pending_revocation(fake_salesforce)
    before = fake_salesforce.token_requests
    refresh = schedule.refresh_connections

    def signalled(ids: list[int]) -> Counter[str]:
        os.kill(os.getpid(), signal.SIGTERM)  # amid the batch
        return refresh(ids)

    monkeypatch.setattr(schedule, "refresh_connections", signalled)
    call_command("sf_oauth_refresh", "--due", "--loop")

    assert capsys.readouterr().out == f"renewed: {BATCH}\n"
    assert fake_salesforce.token_requests - before == BATCH
    assert SalesforceConnection.objects.due(timezone.now()).count() == len(connections) - BATCH
    assert PendingRevocation.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_loop_does_all_that_the_tasks_do(fake_salesforce: FakeSalesforce, capsys: Any) -> None:
    make_pending_revocation(fake_salesforce)
    make_old_event()
    Notice.objects.create(connection=connect_one(fake_salesforce), due_at=timezone.now())
    command: Any = load_command_class("django_sf_oauth", "sf_oauth_refresh")
    command.stop = Passes(fake_salesforce, most=2)

    call_command(command, "--due", "--loop")

    assert capsys.readouterr().out.splitlines() == ["revoked: 1", "over: 1", "events: 1", "renewed: 1"]
    assert not PendingRevocation.objects.exists()


def make_pending_revocation(fake: FakeSalesforce) -> None:
    connection = connect_one(fake)
    fake.maintenance = True
    connection.disconnect()
    fake.maintenance = False
    PendingRevocation.objects.update(next_attempt_at=timezone.now())


def make_old_event() -> None:
    long_ago = timezone.now() - timedelta(days=401)
    ConnectionEvent.objects.create(kind="connected", app="default", created_at=long_ago)


def test_a_loop_prunes_once_a_day() -> None:
    command: Any = load_command_class("django_sf_oauth", "sf_oauth_refresh")

    for _ in range(2):
        make_old_event()
        command._daily()

    assert ConnectionEvent.objects.count() == 1


def test_a_blocked_connection_that_is_named_becomes_active_again(
    run: Run, fake_salesforce: FakeSalesforce
) -> None:
    connection = connect_one(fake_salesforce, status=Status.BLOCKED, reason="app_blocked")

    run("sf_oauth_refresh", connection.uuid)

    connection.refresh_from_db()
    assert (connection.status, connection.reason) == (Status.ACTIVE, "")
