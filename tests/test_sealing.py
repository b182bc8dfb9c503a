"""Each way to write a sealed column seals or is refused, and each way to read it shows nothing."""

from __future__ import annotations

import base64
import json
import pprint
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.contrib import admin
from django.contrib.admin.utils import display_for_field
from django.core import serializers
from django.core.exceptions import FieldError
from django.core.management import call_command
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection as database
from django.db import models, transaction
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from django.db.models import Case, F, Value, When
from django.db.models.functions import Coalesce, Concat, Upper
from django.forms import modelform_factory
from django.forms.models import model_to_dict
from django.template import Context, Template
from django.test import override_settings
from django.test.utils import isolate_apps

from django_sf_oauth.exceptions import TokenUnreadable
from django_sf_oauth.fields import Sealed, SealedTextField, SealingField
from django_sf_oauth.models import ConnectAttempt, PendingRevocation, SalesforceConnection

from .factories import make_connection, make_user
from .pages import ROOT
from .test_keys import plain, stored

pytestmark = pytest.mark.django_db

Row = SalesforceConnection

PLAIN = "00D000000000001!planted-token"
NEWER = "00D000000000001!newer-token"


@pytest.fixture
def row() -> Row:
    return make_connection(access_token=PLAIN)


def token(pk: int) -> str:
    return plain(Row.objects.get(pk=pk).access_token)


# Writing


EXPRESSIONS = {
    "F": F("refresh_token"),
    "Value": Value(NEWER),
    "Case": Case(When(pk__gt=0, then=Value(NEWER)), default=F("access_token")),
    "Coalesce": Coalesce(F("access_token"), Value(NEWER)),
    "Concat": Concat(F("username"), Value(NEWER)),
    "Upper": Upper("username"),
    "Subquery": models.Subquery(Row.objects.values("access_token")[:1]),
}


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
@pytest.mark.parametrize(
    "write",
    [
        lambda row, value: Row.objects.filter(pk=row.pk).update(access_token=value),
        lambda row, value: Row._base_manager.filter(pk=row.pk).update(access_token=value),
        lambda row, value: row.user.salesforce_connections.update(access_token=value),
        lambda row, value: Row.objects.update_or_create(pk=row.pk, defaults={"access_token": value}),
        lambda row, value: make_connection(user=row.user, access_token=value),
        lambda row, value: setattr(row, "access_token", value),
        lambda row, value: Row.objects.bulk_create([make_connection(save=False, access_token=value)]),
    ],
    ids=["update", "base-manager", "related-manager", "update_or_create", "create", "assign", "bulk_create"],
)
def test_an_expression_is_refused_on_each_way(
    row: Row, expression: Any, write: Callable[[Row, Any], object]
) -> None:
    with pytest.raises((TypeError, FieldError)), transaction.atomic():
        write(row, expression)

    assert token(row.pk) == PLAIN
    assert Row.objects.count() == 1


@pytest.mark.parametrize("value", [PLAIN, PLAIN.encode(), memoryview(b"x"), 5, ["x"], {"x": 1}], ids=repr)
def test_what_is_not_sealed_is_stored_by_no_update(row: Row, value: Any) -> None:
    before = stored(row.pk, "access_token")

    with pytest.raises(TypeError), transaction.atomic():
        Row.objects.update(access_token=value)

    assert stored(row.pk, "access_token") == before


def test_bulk_update_stores_no_text_of_an_expression(row: Row) -> None:
    other = make_connection()
    row.access_token = other.access_token = NEWER

    with pytest.raises(TypeError), transaction.atomic():
        Row.objects.bulk_update([row, other], ["access_token", "username"])

    assert token(row.pk) == PLAIN


def test_bulk_update_of_other_columns_touches_no_token(row: Row) -> None:
    row.username = "new@example.com"
    row.access_token = NEWER

    Row.objects.bulk_update([row], ["username"])

    assert token(row.pk) == PLAIN


UPSERT: dict[str, Any] = {"update_conflicts": True, "update_fields": ["app"], "unique_fields": ["uuid"]}


@pytest.mark.parametrize("model", [SalesforceConnection, PendingRevocation, ConnectAttempt])
def test_an_upsert_is_refused_for_every_model_that_seals(model: Any) -> None:
    with pytest.raises(TypeError, match="update_or_create"):
        model.objects.bulk_create([model()], **UPSERT)


def test_get_or_create_seals_what_it_creates(row: Row) -> None:
    found, _ = Row.objects.get_or_create(pk=row.pk, defaults={"access_token": NEWER})
    made, is_new = Row.objects.get_or_create(
        user=make_user(),
        organization_id=row.organization_id,
        salesforce_user_id=row.salesforce_user_id,
        defaults={"access_token": NEWER},
    )

    assert (plain(found.access_token), is_new) == (PLAIN, True)
    assert token(made.pk) == NEWER


def test_a_row_is_not_looked_for_by_its_token(row: Row) -> None:
    for look in (
        lambda: Row.objects.get_or_create(access_token=PLAIN),
        lambda: Row.objects.filter(access_token__startswith="00D").exists(),
        lambda: Row.objects.filter(access_token=F("refresh_token")).exists(),
        lambda: Row.objects.exclude(access_token__in=[PLAIN]).exists(),
    ):
        with pytest.raises(FieldError, match="sealed"):
            look()
    assert Row.objects.filter(access_token__isnull=False).count() == 1


@pytest.mark.parametrize("write", ["save", "update_fields", "full_clean"])
def test_a_stale_instance_writes_no_token(row: Row, write: str) -> None:
    stale = Row.objects.get(pk=row.pk)
    row.access_token = NEWER
    row.save()

    stale.username = "stale@example.com"
    if write == "full_clean":
        stale.full_clean(exclude=["user"])
    stale.save(update_fields=["username", "access_token"] if write == "update_fields" else None)

    assert token(row.pk) == NEWER
    assert Row.objects.get(pk=row.pk).username == "stale@example.com"


# Reading


def test_values_show_dots_and_cannot_be_made_json(row: Row) -> None:
    rows = [*Row.objects.values("access_token"), *Row.objects.values_list("access_token", F("access_token"))]
    named = Row.objects.annotate(copy=F("access_token")).values("copy").get()

    assert PLAIN not in f"{rows} {named} {pprint.pformat(rows)}"
    with pytest.raises(TypeError):
        json.dumps(named, cls=DjangoJSONEncoder)


@pytest.mark.parametrize("form", ["json", "jsonl", "xml", "python"])
def test_no_serializer_shows_a_token(row: Row, form: str) -> None:
    text = str(serializers.serialize(form, Row.objects.all()))

    assert PLAIN not in text
    assert "s1:" not in text


def test_dumpdata_shows_no_token(row: Row, tmp_path: Any) -> None:
    PendingRevocation.objects.create(token="5Aep861planted", connection_uuid=uuid4())
    ConnectAttempt.objects.create(user=row.user, verifier="planted-verifier")
    path = tmp_path / "dump.json"

    call_command("dumpdata", "django_sf_oauth", output=str(path), verbosity=0)

    assert path.read_text().count(str(row.uuid)) == 1
    assert "planted" not in path.read_text()


@pytest.mark.parametrize(
    "name",
    [
        "access_token",
        "access_token.reveal",
        "access_token.at_rest",
        "access_token._plain",
        "valid_access_token",
        "bearer",
        "abearer",
    ],
)
def test_no_template_shows_a_token(row: Row, name: str) -> None:
    loaded = Row.objects.get(pk=row.pk)
    assert plain(loaded.access_token) == PLAIN
    source = "{{ connection.%s }}" if "._" not in name else "{{ connection.access_token|pprint }}"

    page = Template(source % name if "%s" in source else source).render(Context({"connection": loaded}))

    assert PLAIN not in page
    assert "s1:" not in page


@pytest.mark.parametrize("name", ["disconnect", "refresh", "renew", "arenew"])
def test_to_name_an_act_in_a_template_does_nothing(row: Row, name: str) -> None:
    assert Template("{{ connection.%s }}" % name).render(Context({"connection": row})) == ""  # noqa: UP031  # braces

    assert token(row.pk) == PLAIN


def test_no_form_has_a_token(row: Row) -> None:
    # Without the fields of URLs, for which Django 5.2 warns of a default that changes.
    form = modelform_factory(Row, exclude=["instance_url", "login_url"])(instance=row)

    assert {"access_token", "refresh_token"}.isdisjoint({*form.fields, *model_to_dict(row)})
    with pytest.raises(FieldError, match="non-editable"):
        modelform_factory(Row, fields=["access_token"])


def test_an_admin_that_lists_tokens_shows_dots(row: Row) -> None:
    class Careless(admin.ModelAdmin):  # type: ignore[type-arg]
        list_display = ["access_token"]
        readonly_fields = ["access_token"]

    field = Row._meta.get_field("access_token")

    assert "access_token" in Careless(Row, admin.AdminSite()).get_list_display(None)  # type: ignore[arg-type]
    assert str(display_for_field(row.access_token, field, "-")) == "••••••••"


# Whatever stands below


MIGRATIONS = sorted((ROOT / "django_sf_oauth" / "migrations").glob("0*.py"))


@pytest.mark.parametrize("path", MIGRATIONS, ids=lambda path: path.stem)
def test_a_migration_names_our_own_class_alone(path: Any) -> None:
    assert "fernet" not in path.read_text(encoding="utf-8").lower()


def derived(key: str) -> bytes:
    """As django-fernet-fields-v2 derives it, from its documentation and not from its code."""
    hkdf = HKDF(
        algorithm=SHA256(), length=32, salt=b"django-fernet-fields-hkdf-salt", info=b"django-fernet-fields"
    )
    return base64.urlsafe_b64encode(hkdf.derive(key.encode()))


class OnBytes(SealingField, models.BinaryField):  # type: ignore[type-arg]
    """What `SealedTextField` could become: it knows nothing of django-fernet-fields-v2."""


OnBytes.__module__, OnBytes.__qualname__, OnBytes.__name__ = SealedTextField.__module__, *["SealedTextField"] * 2


def with_the_base_swapped() -> ProjectState:
    state = MigrationLoader(database).project_state()
    for (label, _), model in state.models.items():
        for name, field in model.fields.items():
            if label == "django_sf_oauth" and isinstance(field, SealedTextField):
                model.fields[name] = OnBytes(null=field.null)
    return state


def test_with_another_base_there_is_nothing_to_migrate() -> None:
    now, swapped = MigrationLoader(database).project_state(), with_the_base_swapped()

    changes = MigrationAutodetector(now, swapped).changes(graph=MigrationLoader(database).graph)

    assert changes == {}
    field, other = (
        state.apps.get_model("django_sf_oauth", "SalesforceConnection")._meta.get_field("access_token")
        for state in (now, swapped)
    )
    assert isinstance(other, OnBytes)
    assert not database.schema_editor()._field_should_be_altered(field, other)  # type: ignore[attr-defined]
    assert field.db_type(database) == other.db_type(database)


def test_with_another_base_old_rows_are_read_and_new_ones_written(row: Row) -> None:
    model: Any = with_the_base_swapped().apps.get_model("django_sf_oauth", "SalesforceConnection")

    swapped = model.objects.get(pk=row.pk)
    assert plain(swapped.access_token) == PLAIN
    swapped.access_token = NEWER
    swapped.save()

    assert token(row.pk) == NEWER
    with pytest.raises(TypeError), transaction.atomic():
        model.objects.update(access_token=PLAIN)
    with pytest.raises(FieldError):
        model.objects.filter(access_token=b"x").exists()


def test_what_is_stored_can_be_opened_by_whoever_has_the_key_and_this_description(row: Row) -> None:
    with override_settings(FERNET_KEYS=["a-key-that-is-written-down-here-1"]):
        row.access_token = NEWER
        row.save()

    scheme, key_id, sealed = stored(row.pk, "access_token").split(b":", 2)

    opened = Fernet(derived("a-key-that-is-written-down-here-1")).decrypt(sealed).decode()
    assert scheme == b"s1"
    assert re.fullmatch(rb"[0-9a-f]{8}", key_id)
    assert opened == f"django_sf_oauth.salesforceconnection.access_token:{row.uuid}\n{NEWER}"


def test_sealed_values_are_alike_when_they_open_alike(row: Row) -> None:
    first = row.access_token
    row.access_token = PLAIN
    again = row.access_token
    row.access_token = NEWER
    newer = row.access_token

    assert first is not None
    assert first != again
    assert first.opens_like(again)
    assert first.opens_like(first)
    assert not first.opens_like(newer)
    assert not first.opens_like(None)
    assert not first.opens_like(Sealed(b"s1:gone:x"))


@isolate_apps("tests.uuid_user")
def test_a_row_of_your_own_seals_too() -> None:
    class Mailbox(models.Model):  # noqa: DJ008  # nobody prints it
        uuid = models.UUIDField(default=uuid4)
        password = SealedTextField()

        class Meta:
            app_label = "uuid_user"

    mailbox, other = Mailbox(password="hunter2"), Mailbox(password="")

    assert plain(mailbox.password) == "hunter2"
    assert plain(other.password) == ""
    with pytest.raises(TypeError, match="own row"):
        other.password = mailbox.password
    with pytest.raises(TokenUnreadable):
        Sealed(plain(mailbox.password).encode()).reveal()
