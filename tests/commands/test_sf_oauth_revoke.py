from __future__ import annotations

import sys
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import PendingRevocation, SalesforceConnection
from django_sf_oauth.testing import FakeSalesforce
from tests.commands.conftest import Run
from tests.factories import make_connection
from tests.fleet import connect_many, connect_one

pytestmark = pytest.mark.django_db


class Terminal:
    """A standard input with somebody at it."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return f"{self.answer}\n"


def test_named_connections_are_disconnected_and_revoked(run: Run, fake_salesforce: FakeSalesforce) -> None:
    named, other = connect_many(fake_salesforce, 2)

    ran = run("sf_oauth_revoke", "--yes", named.uuid)

    assert (ran.code, ran.out) == (0, "revoked: 1\n")
    assert list(SalesforceConnection.objects.connected()) == [other]
    assert len(list(fake_salesforce.world.live_approvals())) == 1


def test_nobody_to_ask_means_nothing_is_done(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = make_connection()
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)

    ran = run("sf_oauth_revoke", connection.uuid)

    connection.refresh_from_db()
    assert (ran.code, connection.status) == (2, Status.ACTIVE)


@pytest.mark.parametrize(
    ("answer", "code", "status"),
    [("y", 0, Status.DISCONNECTED), ("n", 1, Status.ACTIVE), ("", 1, Status.ACTIVE)],
)
def test_somebody_at_the_terminal_is_asked(
    run: Run,
    fake_salesforce: FakeSalesforce,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
    status: str,
) -> None:
    connection = connect_one(fake_salesforce)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))

    ran = run("sf_oauth_revoke", connection.uuid)

    connection.refresh_from_db()
    assert (ran.code, connection.status) == (code, status)


def test_a_dry_run_revokes_nothing(run: Run, fake_salesforce: FakeSalesforce) -> None:
    connection = connect_one(fake_salesforce)

    ran = run("sf_oauth_revoke", "--all", "--dry-run", "--json")

    connection.refresh_from_db()
    assert ran.json == {"to_revoke": 1}
    assert connection.status == Status.ACTIVE


def test_what_salesforce_did_not_confirm_is_told_and_finished_later(
    run: Run, fake_salesforce: FakeSalesforce
) -> None:
    connection = connect_one(fake_salesforce)
    fake_salesforce.maintenance = True
    first = run("sf_oauth_revoke", "--yes", "--json", connection.uuid)
    fake_salesforce.maintenance = False
    PendingRevocation.objects.update(next_attempt_at=timezone.now())

    dry = run("sf_oauth_revoke", "--pending", "--dry-run", "--json")
    later = run("sf_oauth_revoke", "--pending", "--json")

    assert (first.code, first.json) == (1, {"pending": 1})
    assert dry.json == {"to_revoke": 1}
    assert (later.code, later.json) == (0, {"revoked": 1})


def test_a_dry_run_says_what_waits_already(run: Run, fake_salesforce: FakeSalesforce) -> None:
    connection = connect_one(fake_salesforce)
    fake_salesforce.maintenance = True
    connection.disconnect()

    assert run("sf_oauth_revoke", "--all", "--dry-run", "--json").json == {"to_revoke": 0, "pending": 1}


def test_to_revoke_again_tells_salesforce_what_it_has_not_confirmed(
    run: Run, fake_salesforce: FakeSalesforce
) -> None:
    connection, other = connect_many(fake_salesforce, 2)
    fake_salesforce.maintenance = True
    run("sf_oauth_revoke", "--yes", connection.uuid, other.uuid)
    fake_salesforce.maintenance = False

    again = run("sf_oauth_revoke", "--yes", "--json", connection.uuid)

    assert (again.code, again.json) == (0, {"revoked": 1})
    assert PendingRevocation.objects.get().connection_uuid == other.uuid


@pytest.mark.parametrize("words", [["--all"], ["--pending"]])
def test_on_a_terminal_it_shows_how_far_it_is(fake_salesforce: FakeSalesforce, words: list[str]) -> None:
    class Screen(StringIO):
        def isatty(self) -> bool:
            return True

    (connection,) = connect_many(fake_salesforce, 1)
    fake_salesforce.fail_next(where="revoke", times=int(words == ["--pending"]))
    if words == ["--pending"]:
        connection.disconnect()
    screen = Screen()

    call_command("sf_oauth_revoke", *words, "--yes", stdout=StringIO(), stderr=screen, no_color=True)

    assert "1 / 1" in screen.getvalue()


def test_pending_takes_no_selection(run: Run) -> None:
    assert run("sf_oauth_revoke", "--pending", "--all").code == 2
