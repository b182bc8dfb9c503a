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


# What a claim writes


def test_no_index_holds_what_a_claim_writes() -> None:
    """PostgreSQL would have to write each claimed row anew in every index."""
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, SalesforceConnection._meta.db_table)

    indexed = {column for one in found.values() for column in one["columns"]}
    assert "next_refresh_at" in indexed
    assert not indexed & {"claimed_until", "lease_owner", "lease_until", "in_doubt_since"}


def fill_factor() -> list[str] | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reloptions FROM pg_class WHERE relname = %s", [SalesforceConnection._meta.db_table])
        (options,) = cursor.fetchone()
    return options  # type: ignore[no-any-return]  # an array of texts


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="other databases write in place")
def test_the_pages_have_room_for_rows_that_are_written_anew() -> None:
    now = fill_factor()
    call_command("migrate", "django_sf_oauth", "0007", verbosity=0, skip_checks=True)
    before = fill_factor()
    call_command("migrate", "django_sf_oauth", verbosity=0, skip_checks=True)

    assert (before, now, fill_factor()) == (None, ["fillfactor=75"], ["fillfactor=75"])


def test_room_is_kept_in_postgresql_alone_and_where_the_table_is(settings: Any) -> None:
    loader = MigrationLoader(connection)
    migration = loader.get_migration("django_sf_oauth", "0008_claimed_until")
    operation = migration.operations[-1]
    before = loader.project_state(("django_sf_oauth", "0008_claimed_until"), at_end=False)

    def statements() -> int:
        editor = connection.schema_editor(collect_sql=True)
        operation.database_forwards("django_sf_oauth", editor, before, before)
        operation.database_backwards("django_sf_oauth", editor, before, before)
        return len(editor.collected_sql)

    assert statements() == (2 if connection.vendor == "postgresql" else 0)
    settings.DATABASE_ROUTERS = [Elsewhere()]
    assert statements() == 0
    assert operation.describe() == "Keep room in the pages of salesforceconnection"
