"""The index that the sweep reads, as it is in the database."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.models.due_index import DueIndex

NAME = "sf_oauth_due_first"
MIGRATION = ("django_sf_oauth", "0005_due_index")

pytestmark = pytest.mark.django_db


def definition() -> str:
    (index,) = [one for one in SalesforceConnection._meta.indexes if one.name == NAME]
    assert isinstance(index, DueIndex)
    return str(index.create_sql(SalesforceConnection, connection.schema_editor()))


def test_it_leaves_out_what_is_never_due_where_the_database_can() -> None:
    says_so = "IS NOT NULL" in definition()

    assert says_so is connection.features.supports_partial_indexes


def test_the_database_has_it_and_not_the_one_before() -> None:
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, SalesforceConnection._meta.db_table)

    assert found[NAME]["columns"] == ["next_refresh_at", "id"]
    assert "sf_oauth_due" not in found


def test_no_check_has_anything_to_say_of_it() -> None:
    said = run_checks(databases=["default"])

    assert [one for one in said if (one.id or "").startswith("models.")] == []


@pytest.mark.django_db(transaction=True)
def test_a_migration_that_was_interrupted_can_be_run_again() -> None:
    call_command("migrate", "django_sf_oauth", "0002", verbosity=0, skip_checks=True)
    if connection.vendor == "postgresql":  # where it leaves an index behind that is not valid
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE INDEX {NAME} ON {SalesforceConnection._meta.db_table} (id)")

    call_command("migrate", "django_sf_oauth", verbosity=0, skip_checks=True)

    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, SalesforceConnection._meta.db_table)
    assert found[NAME]["columns"] == ["next_refresh_at", "id"]


class Elsewhere:
    """A router that keeps the tables out of this database."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return False


def test_nothing_is_built_or_dropped_where_the_table_is_not(settings: Any) -> None:
    settings.DATABASE_ROUTERS = [Elsewhere()]
    loader = MigrationLoader(connection)
    migration = loader.get_migration(*MIGRATION)
    before, after = loader.project_state(MIGRATION, at_end=False), loader.project_state(MIGRATION)
    editor = connection.schema_editor(collect_sql=True)

    for operation in migration.operations:
        operation.database_forwards("django_sf_oauth", editor, before, after)
        operation.database_backwards("django_sf_oauth", editor, after, before)

    assert editor.collected_sql == []
