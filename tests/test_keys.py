"""Bringing what is sealed under the newest key."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, models, transaction
from django.test import override_settings
from django.test.utils import isolate_apps

from django_sf_oauth.exceptions import ConfigurationError
from django_sf_oauth.fields import Sealed, SealedTextField
from django_sf_oauth.keyring import newest_key
from django_sf_oauth.models import ConnectAttempt, PendingRevocation, SalesforceConnection, sealed_rows
from django_sf_oauth.models.sealed_rows import sealed_tables
from django_sf_oauth.models.store import store
from django_sf_oauth.models.update_row import RowUpdate
from django_sf_oauth.models.update_rows import update_rows
from django_sf_oauth.protocol.tokens import TokenAnswer
from django_sf_oauth.services.keys import Rotation, rotate_keys

from .factories import make_connection, make_user

OLD, NEW = "the-key-of-last-year-0d3a7e91c5b2", "the-key-of-this-year-5b1f8c264e07"
SERVICE = "django_sf_oauth.services.keys"
SOON = 30.0  # seconds; nothing here takes so long

under_the_old_key = override_settings(FERNET_KEYS=[OLD])
with_a_new_key = override_settings(FERNET_KEYS=[NEW, OLD])
after_the_old_key = override_settings(FERNET_KEYS=[NEW])


def plain(value: Sealed | None) -> str:
    assert value is not None
    return value.reveal()


def tokens(pk: int) -> tuple[str, str]:
    row = SalesforceConnection.objects.get(pk=pk)
    return plain(row.access_token), plain(row.refresh_token)


def key_id(key: str) -> str:
    with override_settings(FERNET_KEYS=[key]):
        return newest_key()[0]


def write(pk: int, stored: bytes, column: str = "refresh_token") -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE django_sf_oauth_salesforceconnection SET {column} = %s WHERE id = %s",  # noqa: S608  # of this file
            [stored, pk],
        )


def stored(pk: int, column: str = "refresh_token") -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM django_sf_oauth_salesforceconnection WHERE id = %s", [pk])  # noqa: S608  # likewise
        return bytes(cursor.fetchone()[0])


def flip_a_byte(pk: int) -> None:
    value = bytearray(stored(pk))
    value[-5] ^= 1
    write(pk, bytes(value))


def names(rotation: Rotation) -> set[UUID]:
    return {row.uuid for row in rotation.unreadable}


@pytest.mark.django_db
def test_every_sealed_column_of_every_model_comes_under_the_newest_key() -> None:
    with under_the_old_key:
        row = make_connection(access_token="00D!access", refresh_token="5Aep!refresh")
        pending = PendingRevocation.objects.create(
            token="5Aep!to-revoke", app="default", login_url=row.login_url, connection_uuid=row.uuid
        )
        attempt = ConnectAttempt.objects.create(user=row.user, verifier="a-verifier")

    with with_a_new_key:
        rotation = rotate_keys()

    assert rotation.before == {key_id(OLD): 4}
    assert rotation.after == {key_id(NEW): 4}
    assert (rotation.left, rotation.unreadable) == (0, [])
    with after_the_old_key:
        assert tokens(row.pk) == ("00D!access", "5Aep!refresh")
        assert plain(PendingRevocation.objects.get(pk=pending.pk).token) == "5Aep!to-revoke"
        assert plain(ConnectAttempt.objects.get(pk=attempt.pk).verifier) == "a-verifier"


def test_all_models_with_a_sealed_field_are_known() -> None:
    found = {table.name: [field.name for field in table.fields] for table in sealed_tables()}

    assert found == {
        "django_sf_oauth.SalesforceConnection": ["access_token", "refresh_token"],
        "django_sf_oauth.PendingRevocation": ["token"],
        "django_sf_oauth.ConnectAttempt": ["verifier"],
    }


@pytest.fixture
def own_apps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A site whose models are those that the test makes."""
    with isolate_apps("tests.uuid_user") as own:
        monkeypatch.setattr(sealed_rows, "apps", own)
        yield


def own_model(name: str, *, table: str, **attributes: Any) -> Any:
    """A model with the sealed column ``token`` and whatever else."""
    meta = {"app_label": "uuid_user", "db_table": table, "managed": attributes.pop("managed", False)}
    fields = {"uuid": models.UUIDField(default=uuid4), "token": SealedTextField(), **attributes}
    return type(name, (models.Model,), {"__module__": __name__, "Meta": type("Meta", (), meta), **fields})


@pytest.mark.django_db
def test_a_table_that_django_does_not_manage_is_rotated_too(own_apps: None) -> None:
    legacy = own_model("Legacy", table=PendingRevocation._meta.db_table)
    pk = PendingRevocation.objects.create(token="x", app="default", connection_uuid=uuid4()).pk
    row = legacy.objects.get(pk=pk)
    with under_the_old_key:
        legacy.objects.update(token=legacy._meta.get_field("token").ciphertext(row.uuid, "of-the-old-system"))

    with with_a_new_key:
        rotation = rotate_keys()

    assert (rotation.before, rotation.after) == ({key_id(OLD): 1}, {key_id(NEW): 1})
    with after_the_old_key:
        assert plain(legacy.objects.get(pk=pk).token) == "of-the-old-system"


def test_a_column_that_two_models_share_is_counted_once(own_apps: None) -> None:
    own_model("Window", table="mailbox", another=SealedTextField())
    mailbox = own_model("Mailbox", table="mailbox", managed=True)
    own_model("Glass", table="mailbox")
    type(
        "Pane",
        (mailbox,),
        {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "uuid_user", "proxy": True})},
    )

    found = {table.name: [field.name for field in table.fields] for table in sealed_tables()}

    assert found == {"uuid_user.Mailbox": ["token"], "uuid_user.Window": ["another"]}


@pytest.mark.django_db
def test_many_batches_leave_nothing_behind() -> None:
    user = make_user()
    with under_the_old_key:
        rows = [make_connection(user=user, save=False, access_token=f"00D!{n}") for n in range(25)]
        rows[3].access_token = rows[7].access_token = rows[7].refresh_token = None
        SalesforceConnection.objects.bulk_create(rows)
    told: list[tuple[int, int]] = []

    with with_a_new_key:
        rotation = rotate_keys(batch=4, tell=lambda done, total: told.append((done, total)))

    assert rotation.after == {key_id(NEW): 47}
    assert told[-1] == (47, 47)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    with after_the_old_key:
        found = SalesforceConnection.objects.order_by("pk")
        assert [plain(row.access_token) if row.access_token else None for row in found] == [
            None if n in {3, 7} else f"00D!{n}" for n in range(25)
        ]


@pytest.mark.django_db
def test_what_is_under_the_newest_key_already_is_not_written_again() -> None:
    with with_a_new_key:
        row = make_connection()
        before = stored(row.pk)

        rotate_keys()

        assert stored(row.pk) == before


@pytest.mark.django_db
def test_a_dry_run_counts_and_opens_and_writes_nothing() -> None:
    with under_the_old_key:
        row, bad = make_connection(), make_connection()
    flip_a_byte(bad.pk)
    before = stored(row.pk)

    with with_a_new_key:
        rotation = rotate_keys(dry_run=True)

    assert rotation.before == rotation.after == {key_id(OLD): 4}
    assert rotation.left == 4
    assert names(rotation) == {bad.uuid}
    assert stored(row.pk) == before


# Rows that no key opens


@pytest.mark.django_db
def test_a_flipped_byte_and_a_transplanted_value_are_named_and_stop_nothing() -> None:
    with under_the_old_key:
        rows = [make_connection() for _ in range(6)]
    flip_a_byte(rows[1].pk)
    write(rows[4].pk, stored(rows[0].pk))

    with with_a_new_key:
        rotation = rotate_keys(batch=2)
        again = rotate_keys(batch=2)

    assert names(rotation) == names(again) == {rows[1].uuid, rows[4].uuid}
    assert {row.fields for row in rotation.unreadable} == {("refresh_token",)}
    assert rotation.after == again.after == {key_id(NEW): 10, key_id(OLD): 2}
    assert rotation.left == 2


@pytest.mark.django_db
def test_a_key_that_was_taken_away_too_early_can_be_put_back() -> None:
    with under_the_old_key:
        row = make_connection(access_token="00D!a", refresh_token="5Aep!r")

    with after_the_old_key:
        without = rotate_keys()
    with with_a_new_key:
        with_it = rotate_keys()

    assert names(without) == {row.uuid}
    assert (with_it.left, with_it.unreadable) == (0, [])
    with after_the_old_key:
        assert tokens(row.pk) == ("00D!a", "5Aep!r")


@pytest.mark.django_db
def test_what_names_no_key_is_counted_apart() -> None:
    with with_a_new_key:
        row = make_connection()
        write(row.pk, b"gAAAAABnot-ours")
        other = make_connection()
        write(other.pk, b"s1")
        empty = make_connection()
        write(empty.pk, b"")

        rotation = rotate_keys()

    assert rotation.before == {key_id(NEW): 3, "": 3}
    assert names(rotation) == {row.uuid, other.uuid, empty.uuid}


@pytest.mark.django_db
def test_damage_under_the_newest_key_is_found_when_asked_for() -> None:
    with with_a_new_key:
        make_connection()
        bad = make_connection()
        flip_a_byte(bad.pk)

        assert names(rotate_keys()) == set()
        verified = rotate_keys(verify=True)

    assert names(verified) == {bad.uuid}
    assert verified.left == 0


# Beside a site that goes on


@contextmanager
def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Any) -> Iterator[None]:
    """Does something after a batch was read and before it is written, the first time."""
    acts = [act]

    def update(alias: str, updates: list[RowUpdate]) -> set[Any]:
        if acts:
            acts.pop()()
        return update_rows(alias, updates)

    with monkeypatch.context() as patch:
        patch.setattr(f"{SERVICE}.update_rows", update)
        patch.setattr(f"{SERVICE}.PAUSE", 0.0)
        yield


@pytest.mark.django_db
def test_a_token_that_was_renewed_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    with under_the_old_key:
        row, other = make_connection(), make_connection(access_token="00D!other", refresh_token="5Aep!other")

    def renew() -> None:
        loaded = SalesforceConnection.objects.get(pk=row.pk)
        loaded.access_token, loaded.refresh_token = "00D!newer", "5Aep!newer"
        loaded.save()

    with with_a_new_key, meanwhile(monkeypatch, renew):
        rotation = rotate_keys()

    assert rotation.left == 0
    with after_the_old_key:
        assert tokens(row.pk) == ("00D!newer", "5Aep!newer")
        assert tokens(other.pk) == ("00D!other", "5Aep!other")


@pytest.mark.django_db
def test_half_a_renewal_meanwhile_stays_too_and_the_rest_comes_in_the_next_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with under_the_old_key:
        row = make_connection(refresh_token="5Aep!kept")

    def renew() -> None:
        loaded = SalesforceConnection.objects.get(pk=row.pk)
        loaded.access_token = "00D!newer"
        loaded.save()

    with with_a_new_key, meanwhile(monkeypatch, renew):
        rotation = rotate_keys()

    assert rotation.left == 0
    with after_the_old_key:
        assert tokens(row.pk) == ("00D!newer", "5Aep!kept")


@pytest.mark.django_db
def test_tokens_that_were_given_up_meanwhile_stay_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    with under_the_old_key:
        row = make_connection()

    def disconnect() -> None:
        SalesforceConnection.objects.filter(pk=row.pk).update(access_token=None, refresh_token=None)

    with with_a_new_key, meanwhile(monkeypatch, disconnect):
        rotation = rotate_keys()

    row.refresh_from_db()
    assert (row.access_token, row.refresh_token) == (None, None)
    assert rotation.left == 0


@pytest.mark.django_db
def test_a_writer_with_the_old_key_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was not restarted goes on sealing under the key that it knows as the newest."""
    with under_the_old_key:
        row = make_connection()

    def renew_with_the_old_key() -> None:
        with under_the_old_key:
            make_connection(user=row.user)

    with with_a_new_key:
        rotate_keys(tell=lambda done, total: renew_with_the_old_key())
        rotation = rotate_keys(dry_run=True)

    assert rotation.left == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite locks no single row")
def test_a_row_that_somebody_holds_is_neither_waited_for_nor_left_to_the_old_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with under_the_old_key:
        held, free = make_connection(), make_connection()
    is_held, let_go = threading.Event(), threading.Event()
    pauses: list[float] = []

    def hold() -> None:
        with transaction.atomic():
            SalesforceConnection.objects.select_for_update().get(pk=held.pk)
            is_held.set()
            let_go.wait(SOON)
        connection.close()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        let_go.set()
        holder.join()

    holder = threading.Thread(target=hold)
    holder.start()
    is_held.wait(SOON)
    monkeypatch.setattr(f"{SERVICE}.time.sleep", pause)
    with with_a_new_key:
        rotation = rotate_keys()

    assert rotation.left == 0
    assert len(pauses) == 1
    with after_the_old_key:
        assert tokens(held.pk)
        assert tokens(free.pk)


@pytest.mark.django_db
def test_a_row_that_is_always_held_is_left_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with under_the_old_key:
        make_connection()
    monkeypatch.setattr(f"{SERVICE}.update_rows", lambda alias, updates: set())
    monkeypatch.setattr(f"{SERVICE}.PAUSE", 0.0)

    with with_a_new_key:
        rotation = rotate_keys()

    assert rotation.left == 2
    assert rotation.unreadable == []


@pytest.mark.django_db
def test_a_refresh_that_was_read_before_a_rotation_stores_after_it(
    fake_salesforce: Any, salesforce_connection: SalesforceConnection
) -> None:
    row = SalesforceConnection.objects.get(pk=salesforce_connection.pk)
    key = "newest-key-of-the-tests-3f6b1c0d9a"

    with override_settings(FERNET_KEYS=[NEW, key]):
        rotate_keys()
        row.refresh()

    with after_the_old_key:
        assert tokens(row.pk) == (plain(row.access_token), plain(row.refresh_token))


@pytest.mark.django_db
def test_a_rotation_while_salesforce_is_asked_does_not_throw_its_answer_away() -> None:
    """An access token that is assigned meanwhile moves the generation; then the refresh token has to tell."""
    with under_the_old_key:
        row = make_connection(refresh_token="5Aep!spent")
        grant = store.read(row.pk)
        assert grant is not None
        claim = store.claim(grant, lease=90.0)
        assert claim is not None
        loaded = SalesforceConnection.objects.get(pk=row.pk)
        loaded.access_token = "00D!assigned"
        loaded.save()

    with with_a_new_key:
        rotate_keys()
        store.store(claim, TokenAnswer(access_token="00D!answered", refresh_token="5Aep!rotated"))

        assert tokens(row.pk) == ("00D!answered", "5Aep!rotated")


@pytest.mark.django_db
def test_without_keys_nothing_is_begun() -> None:
    row = make_connection()
    before = stored(row.pk)

    with override_settings(FERNET_KEYS=["", OLD]), pytest.raises(ConfigurationError):
        rotate_keys()

    assert stored(row.pk) == before
