from __future__ import annotations

import copy
import json
import pickle
import sys
from typing import Any
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from django.core import serializers
from django.db import connection as database
from django.db import transaction
from django.db.models import F, Value
from django.template import Context, Template
from django.test import RequestFactory, override_settings
from django.views.debug import ExceptionReporter

from django_sf_oauth.exceptions import TokenUnreadable
from django_sf_oauth.fields import Sealed, sealed_field, unseal
from django_sf_oauth.models import SalesforceConnection

from .factories import make_connection, make_user

pytestmark = pytest.mark.django_db

PLAIN = "00D000000000001!planted-token"


def reveal(value: Sealed | None) -> str:
    assert value is not None
    return value.reveal()


@pytest.fixture
def row() -> SalesforceConnection:
    return make_connection(access_token=PLAIN)


def stored_bytes(pk: int, column: str = "access_token") -> bytes:
    with database.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM django_sf_oauth_salesforceconnection WHERE id = %s", [pk])  # noqa: S608  # a column's name of this file
        return bytes(cursor.fetchone()[0])


def test_a_token_is_assigned_as_plain_text_and_read_sealed(row: SalesforceConnection) -> None:
    loaded = SalesforceConnection.objects.get(pk=row.pk)

    assert isinstance(loaded.access_token, Sealed)
    assert reveal(loaded.access_token) == PLAIN


def test_the_column_holds_ciphertext_under_the_newest_key(row: SalesforceConnection) -> None:
    stored = stored_bytes(row.pk)

    assert stored.startswith(b"s1:")
    assert PLAIN.encode() not in stored


@pytest.mark.parametrize(
    "show",
    [repr, str, lambda value: f"{value}", lambda value: "%s" % value],  # noqa: UP031  # the old way must be safe too
    ids=["repr", "str", "format", "percent"],
)
def test_a_sealed_value_prints_as_dots(row: SalesforceConnection, show: Any) -> None:
    assert show(row.access_token) == "••••••••"


def test_a_template_shows_dots(row: SalesforceConnection) -> None:
    page = Template("{{ connection.access_token }}").render(Context({"connection": row}))

    assert page == "••••••••"


def test_no_token_reads_as_none() -> None:
    row = make_connection(access_token=None, refresh_token=None)

    assert SalesforceConnection.objects.get(pk=row.pk).access_token is None


def test_a_pickle_holds_ciphertext_only(row: SalesforceConnection) -> None:
    row.refresh_token = "5Aep861.just-assigned"
    pickled = pickle.dumps(row)

    assert PLAIN.encode() not in pickled
    assert b"5Aep861" not in pickled
    assert reveal(pickle.loads(pickled).access_token) == PLAIN  # noqa: S301  # pickled two lines above


def test_a_revealed_token_is_in_no_pickle_and_no_copy(row: SalesforceConnection) -> None:
    loaded = SalesforceConnection.objects.get(pk=row.pk)
    client = loaded.client()
    assert reveal(loaded.access_token) == PLAIN

    assert PLAIN.encode() not in pickle.dumps(loaded)
    assert PLAIN.encode() not in pickle.dumps(client)
    for copied in (copy.copy(loaded.access_token), copy.deepcopy(loaded).access_token):
        assert isinstance(copied, Sealed)
        assert copied._plain is None
        assert copied.reveal() == PLAIN
    assert PLAIN not in repr(vars(loaded))


def test_a_token_is_decrypted_once_for_each_row_that_was_loaded(
    row: SalesforceConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, again = (SalesforceConnection.objects.get(pk=row.pk) for _ in range(2))
    assert [reveal(one.access_token) for one in (loaded, again)] == [PLAIN] * 2

    monkeypatch.setattr(Fernet, "decrypt", None)

    assert [reveal(one.access_token) for one in (loaded, again)] == [PLAIN] * 2


def test_a_new_token_takes_the_place_of_a_revealed_one(row: SalesforceConnection) -> None:
    assert reveal(row.access_token) == PLAIN

    row.access_token = "00D000000000001!renewed"

    assert reveal(row.access_token) == "00D000000000001!renewed"


def test_a_value_that_was_read_opens_in_no_other_row(row: SalesforceConnection) -> None:
    loaded = SalesforceConnection.objects.get(pk=row.pk)
    assert reveal(loaded.access_token) == PLAIN

    loaded.uuid = uuid4()

    with pytest.raises(TokenUnreadable):
        reveal(loaded.access_token)


def test_a_fixture_holds_no_token(row: SalesforceConnection) -> None:
    fixture = serializers.serialize("json", [row])

    assert PLAIN not in fixture
    assert json.loads(fixture)[0]["fields"]["access_token"] is None


def test_values_are_sealed_and_cannot_be_opened_without_their_row(row: SalesforceConnection) -> None:
    value = SalesforceConnection.objects.values_list("access_token", flat=True).get(pk=row.pk)

    assert str(value) == "••••••••"
    with pytest.raises(TokenUnreadable):
        reveal(value)


def test_a_ciphertext_transplanted_into_another_row_does_not_open(row: SalesforceConnection) -> None:
    other = make_connection(access_token="00D000000000001!other")
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE django_sf_oauth_salesforceconnection SET access_token = %s WHERE id = %s",
            [stored_bytes(row.pk), other.pk],
        )

    with pytest.raises(TokenUnreadable, match="another row"):
        reveal(SalesforceConnection.objects.get(pk=other.pk).access_token)


def test_a_ciphertext_transplanted_into_another_column_does_not_open(row: SalesforceConnection) -> None:
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE django_sf_oauth_salesforceconnection SET refresh_token = access_token WHERE id = %s", [row.pk]
        )

    with pytest.raises(TokenUnreadable):
        reveal(SalesforceConnection.objects.get(pk=row.pk).refresh_token)


@pytest.mark.parametrize(
    "damaged",
    [b"", b"garbage", b"s1:", b"s1:\xff\xff:x", b"s2:00000000:x"],
    ids=["empty", "no-format", "cut", "bad-key-id", "other-format"],
)
def test_a_damaged_ciphertext_hurts_its_own_row_alone(row: SalesforceConnection, damaged: bytes) -> None:
    bad = make_connection(access_token="00D000000000001!bad")
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE django_sf_oauth_salesforceconnection SET access_token = %s WHERE id = %s", [damaged, bad.pk]
        )

    rows = {one.pk: one for one in SalesforceConnection.objects.all()}

    assert reveal(rows[row.pk].access_token) == PLAIN
    with pytest.raises(TokenUnreadable) as caught:
        reveal(rows[bad.pk].access_token)
    assert caught.value.__cause__ is None


def test_a_flipped_byte_is_noticed(row: SalesforceConnection) -> None:
    stored = bytearray(stored_bytes(row.pk))
    stored[-5] ^= 1
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE django_sf_oauth_salesforceconnection SET access_token = %s WHERE id = %s",
            [bytes(stored), row.pk],
        )

    with pytest.raises(TokenUnreadable):
        reveal(SalesforceConnection.objects.get(pk=row.pk).access_token)


def test_an_older_key_still_opens_and_an_unknown_one_does_not(row: SalesforceConnection) -> None:
    with override_settings(FERNET_KEYS=["brand-new-key", "newest-key-of-the-tests-3f6b1c0d9a"]):
        assert reveal(SalesforceConnection.objects.get(pk=row.pk).access_token) == PLAIN
    with override_settings(FERNET_KEYS=["brand-new-key"]), pytest.raises(TokenUnreadable):
        reveal(SalesforceConnection.objects.get(pk=row.pk).access_token)


def test_keys_may_be_fernet_keys_without_derivation() -> None:
    with override_settings(FERNET_KEYS=[Fernet.generate_key().decode()], FERNET_USE_HKDF=False):
        row = make_connection(access_token=PLAIN)

        assert reveal(SalesforceConnection.objects.get(pk=row.pk).access_token) == PLAIN


def test_without_keys_the_secret_key_serves_as_in_the_field_below() -> None:
    with override_settings(FERNET_KEYS=None):
        row = make_connection(access_token=PLAIN)

        assert reveal(SalesforceConnection.objects.get(pk=row.pk).access_token) == PLAIN


def test_update_with_plain_text_is_refused(row: SalesforceConnection) -> None:
    with pytest.raises(TypeError, match="save\\(\\)"), transaction.atomic():
        SalesforceConnection.objects.update(access_token="stored in clear")

    assert reveal(SalesforceConnection.objects.get(pk=row.pk).access_token) == PLAIN


def test_update_with_the_sealed_value_of_another_row_is_refused(row: SalesforceConnection) -> None:
    with pytest.raises(TypeError), transaction.atomic():
        SalesforceConnection.objects.update(access_token=row.access_token)


@pytest.mark.parametrize("expression", [F("refresh_token"), Value("clear")], ids=["F", "Value"])
def test_update_with_an_expression_is_refused(row: SalesforceConnection, expression: Any) -> None:
    with pytest.raises(TypeError), transaction.atomic():
        SalesforceConnection.objects.update(access_token=expression)

    assert reveal(SalesforceConnection.objects.get(pk=row.pk).access_token) == PLAIN


def test_bulk_update_is_refused_and_destroys_nothing(row: SalesforceConnection) -> None:
    row.access_token = "00D000000000001!newer"

    with pytest.raises(TypeError), transaction.atomic():
        SalesforceConnection.objects.bulk_update([row], ["access_token"])
    assert reveal(SalesforceConnection.objects.get(pk=row.pk).access_token) == PLAIN


def test_bulk_create_seals() -> None:
    user = make_user()
    rows = [make_connection(user=user, save=False, access_token=f"{PLAIN}{n}") for n in range(3)]

    SalesforceConnection.objects.bulk_create(rows)

    stored = SalesforceConnection.objects.order_by("pk")
    assert [reveal(one.access_token) for one in stored] == [f"{PLAIN}{n}" for n in range(3)]


def test_an_upsert_that_would_keep_another_rows_uuid_is_refused(row: SalesforceConnection) -> None:
    twin = make_connection(
        user=row.user, save=False, organization_id=row.organization_id, salesforce_user_id=row.salesforce_user_id
    )

    with pytest.raises(TypeError, match="update_or_create"):
        SalesforceConnection.objects.bulk_create(
            [twin], update_conflicts=True, update_fields=["access_token"], unique_fields=["id"]
        )


def test_update_or_create_seals(row: SalesforceConnection) -> None:
    SalesforceConnection.objects.update_or_create(pk=row.pk, defaults={"access_token": "00D000000000001!renewed"})

    assert reveal(SalesforceConnection.objects.get(pk=row.pk).access_token) == "00D000000000001!renewed"


def test_assigning_the_sealed_value_of_another_row_is_refused(row: SalesforceConnection) -> None:
    other = make_connection()

    with pytest.raises(TypeError, match="plain text"):
        other.access_token = row.access_token


@pytest.mark.parametrize("value", [b"bytes", 7, F("refresh_token")], ids=["bytes", "int", "expression"])
def test_assigning_anything_but_text_is_refused(row: SalesforceConnection, value: Any) -> None:
    with pytest.raises(TypeError, match="plain text"):
        row.access_token = value


def test_a_copy_of_a_row_cannot_store_what_would_not_open_there(row: SalesforceConnection) -> None:
    copy = SalesforceConnection.objects.get(pk=row.pk)
    copy.pk, copy.uuid, copy.salesforce_user_id = None, uuid4(), "005000000000099AAA"
    copy._state.adding = True

    with pytest.raises(TokenUnreadable), transaction.atomic():
        copy.save()
    assert SalesforceConnection.objects.count() == 1


def test_a_value_of_values_list_cannot_be_stored_in_another_row(row: SalesforceConnection) -> None:
    other = make_connection()
    other.access_token = SalesforceConnection.objects.values_list("access_token", flat=True).get(pk=row.pk)

    with pytest.raises(TokenUnreadable):
        other.save()


def test_an_error_report_shows_no_token(row: SalesforceConnection) -> None:
    stored = stored_bytes(row.pk)
    try:
        unseal(stored, "another row")
    except TokenUnreadable:
        report = ExceptionReporter(RequestFactory().get("/"), *sys.exc_info()).get_traceback_text()

    assert "unseal" in report
    assert PLAIN not in report


@pytest.mark.parametrize("form", ["json", "xml"])
def test_a_fixture_of_any_form_loads_without_tokens(row: SalesforceConnection, form: str) -> None:
    [loaded] = serializers.deserialize(form, serializers.serialize(form, [row]))

    assert getattr(loaded.object, "access_token") is None  # noqa: B009  # any model, as far as types know


def test_a_sealed_value_may_be_assigned_back_to_its_own_row(row: SalesforceConnection) -> None:
    row.access_token = row.access_token
    row.save()

    assert reveal(SalesforceConnection.objects.get(pk=row.pk).access_token) == PLAIN


def test_sealed_values_compare_by_ciphertext(row: SalesforceConnection) -> None:
    loaded = SalesforceConnection.objects.get(pk=row.pk)

    assert loaded.access_token == row.access_token
    assert hash(loaded.access_token) == hash(row.access_token)
    assert loaded.access_token != PLAIN


def test_a_deferred_token_is_loaded_when_asked_for(row: SalesforceConnection) -> None:
    loaded = SalesforceConnection.objects.only("uuid").get(pk=row.pk)

    assert reveal(loaded.access_token) == PLAIN


def test_the_migration_names_our_own_class() -> None:
    field = SalesforceConnection._meta.get_field("access_token")

    assert field.deconstruct()[1] == "django_sf_oauth.fields.SealedTextField"


def test_a_field_that_does_not_seal_is_told_apart() -> None:
    assert sealed_field(SalesforceConnection, "access_token").name == "access_token"
    with pytest.raises(TypeError, match="username"):
        sealed_field(SalesforceConnection, "username")


def test_looking_for_a_token_in_the_database_is_refused(row: SalesforceConnection) -> None:
    from django.core.exceptions import FieldError

    with pytest.raises(FieldError):
        SalesforceConnection.objects.filter(access_token=PLAIN).exists()


def test_the_class_attribute_is_the_descriptor() -> None:
    assert type(SalesforceConnection.access_token).__name__ == "SealedAttribute"


def test_a_fixture_without_tokens_can_be_loaded(row: SalesforceConnection) -> None:
    fixture = serializers.serialize("json", [row])
    fixture = fixture.replace(str(row.uuid), str(uuid4()))

    for loaded in serializers.deserialize("json", fixture):
        loaded.save()

    assert SalesforceConnection.objects.get(pk=row.pk).organization_id == row.organization_id
