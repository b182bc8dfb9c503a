from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command
from django.db.models import QuerySet
from django.test import override_settings

from django_sf_oauth.models import ConnectionEvent
from django_sf_oauth.services.keys import rotate_keys
from tests.factories import make_connection
from tests.test_checks import app
from tests.test_key_checks import fails
from tests.test_keys import (
    NEW,
    OLD,
    after_the_old_key,
    flip_a_byte,
    key_id,
    under_the_old_key,
    with_a_new_key,
    write,
)

from .conftest import Run

pytestmark = pytest.mark.django_db

COMMAND = "sf_oauth_rotate_keys"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_it_ends_with_0_once_the_old_keys_may_go(run: Run) -> None:
    with under_the_old_key:
        make_connection()

    with with_a_new_key:
        ran = run(COMMAND)

    assert ran.code == 0
    assert ran.out.splitlines() == [
        "before:",
        f"  key {key_id(OLD)} (number 2): 2 values",
        "after:",
        f"  key {key_id(NEW)} (newest): 2 values",
        "All is under the newest key: the old ones may be removed.",
    ]


def test_a_script_can_ask_whether_the_old_keys_may_go(run: Run) -> None:
    with under_the_old_key:
        make_connection(access_token=None)

    with with_a_new_key:
        before = run(COMMAND, "--dry-run", "--json")
        run(COMMAND)
        after = run(COMMAND, "--dry-run", "--json")

    assert (before.code, before.said) == (1, "Keep the old keys: 1 value not under the newest.")
    assert before.json == {
        "newest": key_id(NEW),
        "before": {key_id(OLD): 1},
        "after": {key_id(OLD): 1},
        "left": 1,
        "unreadable": [],
        "audit": {"under_older_keys": 0},
    }
    assert after.code == 0


def test_an_old_key_stays_while_the_audit_trail_needs_it(run: Run) -> None:
    with under_the_old_key:
        ConnectionEvent.objects.create(kind="connect_failed", app="default")

    with with_a_new_key:
        rotate_keys()  # as if it was killed before it came to the trail
        asked, as_json = run(COMMAND, "--dry-run"), run(COMMAND, "--dry-run", "--json")
        run(COMMAND)
        at_last = run(COMMAND, "--dry-run")

    assert (asked.code, asked.said) == (1, "Keep the old keys: 1 of the audit trail not signed under the newest.")
    assert "may be removed" not in asked.out
    assert as_json.json["audit"] == {"under_older_keys": 1}
    assert at_last.code == 0


def test_an_old_key_may_go_although_an_event_does_not_hold_under_it(run: Run) -> None:
    with under_the_old_key:
        ConnectionEvent.objects.create(kind="connect_failed", app="default")
    QuerySet(ConnectionEvent).update(reason="forged")

    with with_a_new_key:
        assert run(COMMAND).code == 0
        assert run(COMMAND, "--dry-run").code == 0


def test_the_audit_trail_needs_the_old_key_no_more_either(run: Run) -> None:
    with under_the_old_key:
        ConnectionEvent.objects.create(kind="connect_failed", app="default")

    with with_a_new_key:
        ran, as_json = run(COMMAND), run(COMMAND, "--json")

    assert "audit trail, signed: 1" in ran.out
    assert as_json.json["audit"] == {"signed": 0, "left": 0, "under_older_keys": 0}
    with after_the_old_key:
        assert all(event.holds() for event in ConnectionEvent.objects.all())


def test_rows_that_no_key_opens_are_named_and_keep_the_old_keys(run: Run) -> None:
    with under_the_old_key:
        bad, row = make_connection(), make_connection()
        flip_a_byte(bad.pk)

    with with_a_new_key:
        ran, as_json = run(COMMAND), run(COMMAND, "--json")

    assert ran.code == as_json.code == 1
    assert f"cannot be read: SalesforceConnection {bad.uuid}: refresh_token" in ran.out
    assert str(row.uuid) not in ran.out
    assert as_json.json["unreadable"] == [
        {"model": "django_sf_oauth.SalesforceConnection", "uuid": str(bad.uuid), "fields": ["refresh_token"]}
    ]


def test_damage_under_the_newest_key_is_told_on_demand(run: Run) -> None:
    with with_a_new_key:
        flip_a_byte(make_connection().pk)

        ran, verified = run(COMMAND), run(COMMAND, "--verify")

    assert ran.code == 0
    assert (verified.code, verified.said) == (1, "The old keys may go, but not all tokens can be read.")


def test_a_key_that_is_not_there_is_called_unknown(run: Run) -> None:
    with under_the_old_key:
        make_connection()

    with override_settings(FERNET_KEYS=[NEW]):
        ran = run(COMMAND)

    assert f"key {key_id(OLD)} (unknown): 2 values" in ran.out


def test_what_names_no_key_is_told_apart(run: Run) -> None:
    write(make_connection().pk, b"")

    assert "  no key: 1 value" in run(COMMAND).out.splitlines()


def test_without_keys_it_says_so_and_not_why(run: Run) -> None:
    with override_settings(SALESFORCE_OAUTH=app(KEY_PROVIDER=fails)):
        ran = run(COMMAND)

    assert (ran.code, ran.said) == (1, "SALESFORCE_OAUTH: KEY_PROVIDER could not be asked for the keys.")


def test_a_terminal_is_shown_how_far_it_has_come() -> None:
    with under_the_old_key:
        make_connection()
    screen = Terminal()

    with with_a_new_key:
        call_command(COMMAND, stdout=StringIO(), stderr=screen)

    assert screen.getvalue() == f"\r[{'#' * 30}] 2 / 2\n"


def test_a_log_is_spared_the_progress() -> None:
    with under_the_old_key:
        make_connection()
    log = StringIO()

    with with_a_new_key:
        call_command(COMMAND, stdout=StringIO(), stderr=log)

    assert log.getvalue() == ""
