"""MACs and fingerprints while ``FERNET_KEYS`` is rotated."""

from __future__ import annotations

from typing import Any

import pytest

from django_sf_oauth.fields import derived_keys, keyring
from django_sf_oauth.keyring import PAUSE
from django_sf_oauth.keyring import _keys as keys_of_the_process
from django_sf_oauth.models import AuditChain, ConnectionEvent, SalesforceConnection
from django_sf_oauth.models.record import record, record_failure
from django_sf_oauth.models.signing import fingerprint, fingerprints, is_newest, mac, mac_holds
from django_sf_oauth.services.audit_keys import resign
from tests.audit.tampering import Kind, change, events_of, found, row_with_history, wrongs
from tests.factories import make_connection, make_user

pytestmark = pytest.mark.django_db

OLD, NEW = "the-older-key-of-this-test-5b1c7f", "the-newer-key-of-this-test-9d4e2a"
TOKEN = "5Aep861refreshPLANTED"


@pytest.fixture
def row(settings: Any) -> SalesforceConnection:
    settings.FERNET_KEYS = [OLD]
    row = row_with_history(make_connection())
    record_failure(make_user(), app="default", reason="access_denied")
    settings.FERNET_KEYS = [NEW, OLD]
    return row


def test_what_an_older_key_signed_holds_while_it_is_listed(row: SalesforceConnection) -> None:
    record(row, Kind.DISCONNECTED)

    assert found() == ([], {"hold": 7})


def test_what_an_unlisted_key_signed_is_named_as_that(row: SalesforceConnection, settings: Any) -> None:
    settings.FERNET_KEYS = [NEW]

    what = {what for what, _ in wrongs()}

    assert what == {"unknown_key", "chain_changed"}


def test_signed_anew_the_older_key_can_go(row: SalesforceConnection, settings: Any) -> None:
    counts = resign(chunk=2)
    settings.FERNET_KEYS = [NEW]

    assert counts == {"signed": 7, "left": 0}
    assert found() == ([], {"hold": 6})


def test_to_sign_anew_covers_nothing_up(row: SalesforceConnection) -> None:
    other = row_with_history(make_connection())
    change(events_of(row)[1], reason="nothing happened")
    AuditChain.objects.filter(pk=row.uuid).update(last=9)
    before = wrongs()

    counts = resign()

    assert counts == {"signed": 5, "left": 2}
    assert wrongs() == before
    assert wrongs(ConnectionEvent.objects.filter(connection_uuid=other.uuid)) == []


def test_to_sign_anew_twice_changes_nothing(row: SalesforceConnection) -> None:
    resign()
    before = list(ConnectionEvent.objects.values_list("mac", flat=True))

    assert resign() == {"signed": 0, "left": 0}
    assert list(ConnectionEvent.objects.values_list("mac", flat=True)) == before


@pytest.fixture
def given(settings: Any) -> list[str]:
    """The keys that a provider gives."""
    keys = [OLD]
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "KEY_PROVIDER": lambda: list(keys)}
    return keys


def signed_by_a_process_that_knows_a_newer_key(given: list[str]) -> Any:
    """A connection with a history, of which this process does not know the key of the last event yet.

    What it knows is forgotten with the settings of the test, and so must not be put back after that.
    """
    row = row_with_history(make_connection())
    known = keys_of_the_process.all()
    given.insert(0, NEW)
    keys_of_the_process.forget()
    record(row, Kind.DISCONNECTED)
    keys_of_the_process._kept, keys_of_the_process._asked_at = known, -PAUSE
    return row


def test_a_newer_key_of_another_process_is_asked_for_and_breaks_no_chain(given: list[str]) -> None:
    row = signed_by_a_process_that_knows_a_newer_key(given)

    record(row, Kind.RECONNECTED)

    assert found() == ([], {"hold": 7})


def test_a_provider_that_fails_then_leaves_the_chain_unsigned_and_stops_nobody(given: list[str]) -> None:
    row = signed_by_a_process_that_knows_a_newer_key(given)
    given[:] = []  # which is no answer

    record(row, Kind.RECONNECTED)

    assert events_of(row)[-1].kind == Kind.RECONNECTED
    assert ("chain_changed", "") in wrongs()


def test_a_fingerprint_is_found_under_the_key_that_made_it(settings: Any) -> None:
    settings.FERNET_KEYS = [OLD]
    before = fingerprint(TOKEN)
    settings.FERNET_KEYS = [NEW, OLD]

    assert fingerprints(TOKEN) == [fingerprint(TOKEN), before]
    assert fingerprint(TOKEN) != before


def test_a_fingerprint_cannot_be_made_without_the_key(settings: Any) -> None:
    settings.FERNET_KEYS = [OLD]
    theirs = fingerprint(TOKEN)
    settings.FERNET_KEYS = [NEW]

    assert theirs.partition(":")[2] != fingerprint(TOKEN).partition(":")[2]
    assert TOKEN not in theirs


def test_keys_for_another_purpose_are_other_keys() -> None:
    macs, marks = derived_keys("audit mac"), derived_keys("token fingerprint")

    assert list(macs) == list(marks) == list(keyring())
    assert set(macs.values()).isdisjoint(marks.values())
    assert {len(key) for key in macs.values()} == {32}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c"), ("a", "bc")),
        (("", None), (None, "")),
        (("1",), (1,)),
        (('a","b',), ("a", "b")),
    ],
)
def test_contents_that_only_look_alike_have_other_macs(one: Any, other: Any) -> None:
    assert mac_holds(mac(one), one)
    assert not mac_holds(mac(one), other)


def test_a_mac_without_a_key_holds_nothing() -> None:
    assert not mac_holds("", ["event"])
    assert not mac_holds(":" + mac(["event"]).partition(":")[2], ["event"])
    assert is_newest(mac(["event"]))


def test_a_token_that_cannot_be_read_leaves_no_fingerprint(settings: Any) -> None:
    settings.FERNET_KEYS = [OLD]
    row = make_connection()
    settings.FERNET_KEYS = [NEW]
    row.refresh_from_db()

    record(row, Kind.RECONNECT_REQUIRED, reason="unreadable")

    assert events_of(row)[0].fingerprint == ""
    assert wrongs() == []
