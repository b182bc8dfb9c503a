"""The migration of the how-to takes over what plain django-fernet-fields-v2 has written, and gives it back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connection as database
from django.db import models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import Migration
from django.db.migrations.state import ModelState, ProjectState
from fernet_fields import EncryptedTextField

from django_sf_oauth.models import ConnectionEvent, PendingRevocation, SalesforceConnection
from django_sf_oauth.testing import FakeSalesforce

from .factories import make_user
from .fleet import connect_one
from .pages import snippets
from .test_keys import plain

pytestmark = pytest.mark.django_db(transaction=True)

HOW_TO = "docs/how-to/adopt-encrypted-columns.md"
TABLE = "crm_salesforcetoken"


@pytest.fixture
def state() -> Iterator[ProjectState]:
    """The site before the migration: it has a table of its own."""
    state = MigrationLoader(database).project_state()
    fields: list[tuple[str, Any]] = [
        ("id", models.BigAutoField(primary_key=True)),
        ("user", models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, db_constraint=False)),
        ("org_id", models.CharField(max_length=18)),
        ("salesforce_user_id", models.CharField(max_length=18)),
        ("instance_url", models.URLField()),
        ("refresh_token", EncryptedTextField()),
    ]
    state.add_model(ModelState("crm", "SalesforceToken", fields))
    model = state.apps.get_model("crm", "SalesforceToken")
    with database.schema_editor() as editor:
        editor.create_model(model)
    yield state
    with database.schema_editor() as editor:
        editor.delete_model(model)


def migration() -> Migration:
    names: dict[str, Any] = {"__name__": "page"}
    for snippet in snippets(HOW_TO):
        exec(snippet.code, names)  # noqa: S102  # our own page
    return names["Migration"]("0003_adopt", "crm")  # type: ignore[no-any-return]


def migrate(state: ProjectState) -> None:
    with database.schema_editor() as editor:
        migration().apply(state.clone(), editor)


def migrate_back(state: ProjectState) -> None:
    with database.schema_editor() as editor:
        migration().unapply(state.clone(), editor)


def old_rows(state: ProjectState) -> Any:
    return state.apps.get_model("crm", "SalesforceToken").objects


def write_old(state: ProjectState, fake: FakeSalesforce, user: Any) -> Any:
    """What the site stored of a grant, and nothing of this package."""
    granted = connect_one(fake, user=user)
    row = old_rows(state).create(
        user_id=user.pk,
        org_id=granted.organization_id[:15],
        salesforce_user_id=granted.salesforce_user_id,
        instance_url=granted.instance_url,
        refresh_token=plain(granted.refresh_token),
    )
    SalesforceConnection._base_manager.filter(pk=granted.pk)._raw_delete("default")
    return row


def damage(pk: int) -> None:
    with database.cursor() as cursor:
        cursor.execute(f"UPDATE {TABLE} SET refresh_token = %s WHERE id = %s", [b"gAAAAA", pk])  # noqa: S608  # a name of this file


def test_adopted_tokens_work_and_users_do_not_connect_again(
    state: ProjectState, fake_salesforce: FakeSalesforce
) -> None:
    user = make_user()
    first, second = (write_old(state, fake_salesforce, user) for _ in range(2))

    migrate(state)
    migrate(state)

    rows = list(SalesforceConnection.objects.order_by("pk"))
    assert [row.salesforce_user_id for row in rows] == [first.salesforce_user_id, second.salesforce_user_id]
    assert [bool(row.is_default) for row in rows] == [True, False]
    assert isinstance(rows[0].uuid, UUID)
    for row in rows:
        row.refresh()
        assert row.status == "active"
    assert rows[0].valid_access_token()


def test_a_row_that_no_key_opens_does_not_keep_the_others_from_being_adopted(
    state: ProjectState, fake_salesforce: FakeSalesforce, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, last = (write_old(state, fake_salesforce, make_user()) for _ in range(3))
    damage(bad.pk)

    migrate(state)

    adopted = set(SalesforceConnection.objects.values_list("user_id", flat=True))
    assert adopted == {good.user_id, last.user_id}
    assert capsys.readouterr().out == f"No key opens row {bad.pk}: its user has to connect again.\n"


def test_taken_back_the_old_table_has_the_tokens_that_work_now(
    state: ProjectState, fake_salesforce: FakeSalesforce
) -> None:
    row = write_old(state, fake_salesforce, make_user())
    given_up = write_old(state, fake_salesforce, make_user())
    migrate(state)
    connection, other = SalesforceConnection.objects.order_by("pk")
    connection.refresh()
    SalesforceConnection.objects.filter(pk=other.pk).update(refresh_token=None)

    migrate_back(state)

    returned = old_rows(state).get(pk=row.pk).refresh_token
    assert returned == plain(connection.refresh_token) != row.refresh_token
    assert old_rows(state).get(pk=given_up.pk).refresh_token == given_up.refresh_token
    assert list(SalesforceConnection.objects.values_list("pk", flat=True)) == [other.pk]
    assert not PendingRevocation.objects.exists()
    assert not ConnectionEvent.objects.filter(kind="deleted").exists()
