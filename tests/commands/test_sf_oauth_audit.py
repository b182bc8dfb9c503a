from __future__ import annotations

import json
import sys
import tracemalloc
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import load_command_class

from django_sf_oauth.management.commands import sf_oauth_audit
from django_sf_oauth.models import ConnectionEvent, PendingRevocation, SalesforceConnection
from django_sf_oauth.models.record import record
from django_sf_oauth.models.signing import fingerprint
from django_sf_oauth.services import auditing
from tests.audit.tampering import Kind, change, events_of, remove, row_with_history
from tests.commands.conftest import Ran, Run
from tests.factories import make_connection, make_user

pytestmark = pytest.mark.django_db

TOKEN = "5Aep861PLANTED"


@pytest.fixture
def row() -> SalesforceConnection:
    return row_with_history(make_connection(refresh_token=TOKEN))


def lines(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.out.splitlines()]


# --verify


def test_what_holds_ends_well(run: Run, row: SalesforceConnection) -> None:
    ran = run("sf_oauth_audit", "--verify")

    assert (ran.code, ran.out) == (0, "hold: 5\nwrong: 0\n")


def test_what_was_tampered_with_is_named_and_fails(run: Run, row: SalesforceConnection) -> None:
    second, third = events_of(row)[1:3]
    change(second, reason="nothing happened")
    remove(third)

    ran = run("sf_oauth_audit", "--verify")

    assert ran.code == 1
    assert f"what=changed event={second.pk} connection={row.uuid} sequence=2\n" in ran.out
    assert f"what=missing connection={row.uuid} sequence=3\n" in ran.out
    assert "wrong: 2" in ran.out


def test_json_is_a_line_for_each_finding_and_one_for_the_counts(run: Run, row: SalesforceConnection) -> None:
    remove(events_of(row)[0])

    found = lines(run("sf_oauth_audit", "--verify", "--json"))

    assert found == [
        {"what": "missing", "connection": str(row.uuid), "sequence": "1"},
        {"hold": 4, "wrong": 1},
    ]


def test_a_selection_narrows_what_is_verified(run: Run, row: SalesforceConnection) -> None:
    other = row_with_history(make_connection(app="other"))
    remove(events_of(other)[0])

    assert run("sf_oauth_audit", "--verify", row.uuid).code == 0
    assert run("sf_oauth_audit", "--verify", "--app", "default").code == 0
    assert run("sf_oauth_audit", "--verify", "--user", row.user.get_username()).code == 0
    assert run("sf_oauth_audit", "--verify", "--app", "other").code == 1
    assert run("sf_oauth_audit", "--verify", "--org", row.organization_id, "--since", "2026-01-01").code == 1


@pytest.mark.parametrize("words", [["--user", "nobody"], ["--org", "no-org"]])
def test_what_is_not_there_is_wrong_usage(run: Run, words: list[str]) -> None:
    assert run("sf_oauth_audit", "--verify", *words).code == 2


# --export


def test_events_are_exported_as_lines(run: Run, row: SalesforceConnection) -> None:
    found = lines(run("sf_oauth_audit", "--export", "-"))

    event = events_of(row)[0]
    assert [one["sequence"] for one in found] == [1, 2, 3, 4, 5]
    assert found[0] == {
        "id": event.pk,
        "created_at": found[0]["created_at"],
        "kind": "connected",
        "reason": "",
        "connection": str(row.uuid),
        "sequence": 1,
        "user": str(row.user_id),
        "actor": "",
        "app": "default",
        "organization_id": row.organization_id,
        "salesforce_user_id": row.salesforce_user_id,
        "username": row.username,
        "fingerprint": fingerprint(TOKEN),
        "mac": event.mac,
    }
    assert found[0]["created_at"].endswith("+00:00")


def test_events_are_exported_to_a_file(run: Run, row: SalesforceConnection, tmp_path: Path) -> None:
    ran = run("sf_oauth_audit", "--export", tmp_path / "audit.jsonl")

    assert ran.out == ""
    assert len((tmp_path / "audit.jsonl").read_text(encoding="utf-8").splitlines()) == 5


def test_a_file_that_cannot_be_written_is_wrong_usage(run: Run, row: SalesforceConnection, tmp_path: Path) -> None:
    assert run("sf_oauth_audit", "--export", tmp_path / "absent" / "audit.jsonl").code == 2


def test_a_user_who_was_deleted_is_found_by_their_key(run: Run, row: SalesforceConnection) -> None:
    key = str(row.user_id)
    row_with_history(make_connection())
    row.user.delete()

    found = lines(run("sf_oauth_audit", "--export", "-", "--user", key))

    assert [one["kind"] for one in found][-1] == "deleted"
    assert {one["user"] for one in found} == {key}


def test_times_are_in_utc_without_time_zones_too(run: Run, settings: Any) -> None:
    settings.USE_TZ = False
    settings.TIME_ZONE = "Asia/Tokyo"
    ConnectionEvent.objects.create(kind=Kind.CONNECTED, app="default")

    (found,) = lines(run("sf_oauth_audit", "--export", "-"))

    assert found["created_at"].endswith("+00:00")


def test_a_million_events_need_no_more_memory_than_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "BATCH", 50)
    most = {}
    for number in (200, 2000):
        ConnectionEvent.objects.bulk_create(
            ConnectionEvent(kind=Kind.CONNECTED, app="default") for _ in range(number)
        )
        tracemalloc.start()
        assert sum(1 for _ in auditing.exported(ConnectionEvent.objects.all())) >= number
        most[number] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert most[2000] < 2 * most[200]


# --fingerprint


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "found"
    file.write_text(f"{TOKEN}\n", encoding="utf-8")
    return file


def test_a_leaked_token_leads_to_its_connection(run: Run, row: SalesforceConnection, token_file: Path) -> None:
    row_with_history(make_connection())

    ran = run("sf_oauth_audit", "--fingerprint", token_file, "--json")

    found = lines(ran)
    assert {one["connection"] for one in found} == {str(row.uuid)}
    assert [one["place"] for one in found] == ["event"] * 5 + ["connection"]
    assert found[0]["kind"] == "connected"
    assert TOKEN not in ran.out


def test_a_rotated_token_that_is_in_force_is_found_without_an_event(run: Run, token_file: Path) -> None:
    row = make_connection(access_token=TOKEN)

    (found,) = lines(run("sf_oauth_audit", "--fingerprint", token_file, "--json"))

    assert (found["place"], found["connection"]) == ("connection", str(row.uuid))


def test_a_token_that_waits_for_its_revocation_is_found(
    run: Run, row: SalesforceConnection, token_file: Path
) -> None:
    uuid = row.uuid
    row.delete()

    found = lines(run("sf_oauth_audit", "--fingerprint", token_file, "--json", uuid))

    assert [one["place"] for one in found] == ["event"] * 6 + ["pending"]
    assert PendingRevocation.objects.get().connection_uuid == uuid


def test_a_token_of_somebody_else_is_none_of_ours(
    run: Run, row: SalesforceConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO("5Aep861another\n"))

    ran = run("sf_oauth_audit", "--fingerprint", "-")

    assert (ran.code, ran.out) == (0, "It is none of these.\n")


def test_a_row_that_no_key_opens_leaves_the_answer_open(
    run: Run, row: SalesforceConnection, token_file: Path, settings: Any
) -> None:
    settings.FERNET_KEYS = ["another-key-than-before-77f1"]

    ran = run("sf_oauth_audit", "--fingerprint", token_file)

    assert (ran.code, ran.said) == (1, "1 rows could not be read.")


def test_a_token_is_asked_for_unseen_on_a_terminal(
    run: Run, row: SalesforceConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sf_oauth_audit, "getpass", lambda prompt: TOKEN)

    assert f"connection={row.uuid}" in run("sf_oauth_audit", "--fingerprint", "-").out


def test_no_token_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n", encoding="utf-8")

    assert run("sf_oauth_audit", "--fingerprint", tmp_path / "empty").code == 2
    assert run("sf_oauth_audit", "--fingerprint", tmp_path / "absent").code == 2


def test_a_token_is_never_an_argument() -> None:
    parser = load_command_class("django_sf_oauth", "sf_oauth_audit").create_parser("manage.py", "sf_oauth_audit")

    assert "FILE" in parser.format_help()
    assert "--token" not in parser.format_help()


def test_an_actor_is_exported(run: Run, row: SalesforceConnection) -> None:
    actor = make_user()
    record(row, Kind.DISCONNECTED, actor=actor)

    assert lines(run("sf_oauth_audit", "--export", "-"))[-1]["actor"] == str(actor.pk)
