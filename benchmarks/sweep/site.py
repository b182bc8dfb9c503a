"""A site with very many connections, in a database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from benchmarks import project
from benchmarks.postgres import database_of, own_database

__all__ = ["BIG_ORG", "fill", "let_be_due", "postgres", "set_up", "sqlite"]

DATABASE = "sf_oauth_sweep"
ORGS = 10_000
BIG_ORG = "00DBIG000000000AAA"
SERIES = {
    "postgresql": "generate_series(1, {number}) AS series (i)",
    "sqlite": "(WITH RECURSIVE series (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM series WHERE i < {number})"
    " SELECT i FROM series) AS series",
}
UUID = {"postgresql": "gen_random_uuid()", "sqlite": "lower(hex(randomblob(16)))"}
AT = {
    "postgresql": "now() + ({seconds}) * interval '1 second'",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', 'now', ({seconds}) || ' seconds')",
}
LATER = "3600 + i * 1009 % 604800"  # within the next week
LATELY = "-1 - id * 1009 % 3600"  # in no order of the keys


@contextmanager
def sqlite() -> Iterator[None]:
    with project.project():
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL"):  # as the documentation asks for
            _execute(f"PRAGMA {pragma}")
        yield


def postgres() -> AbstractContextManager[None]:
    """Needs a PostgreSQL at ``TEST_POSTGRES_URL``."""
    return own_database(DATABASE, set_up)


def set_up() -> None:
    project.set_up(database_of(DATABASE))


def fill(number: int) -> None:
    """So many connections, each of which is a copy of one that the package made; none is due."""
    from django.db import connection

    template = project.connect(is_default=None)
    vendor, table = connection.vendor, template._meta.db_table
    values: dict[str, str] = {
        str(field.column): f"one.{field.column}" for field in template._meta.concrete_fields
    } | {
        "uuid": UUID[vendor],
        "organization_id": f"'00D' || ({10**11} + i % {ORGS}) || 'AAA'",
        "salesforce_user_id": "'005' || i",
        "next_refresh_at": AT[vendor].format(seconds=LATER),
    }
    del values["id"]
    _execute(
        f"INSERT INTO {table} ({', '.join(values)}) SELECT {', '.join(values.values())}"  # noqa: S608  # ours
        f" FROM {table} AS one, {SERIES[vendor].format(number=number)} WHERE one.id = {template.pk}"
    )
    _execute(f"VACUUM (ANALYZE) {table}" if vendor == "postgresql" else "ANALYZE")


def let_be_due(*, unfair: bool = False) -> None:
    """A twentieth of them. `unfair`: half of what is due belongs to one org, and has waited longest."""
    from django.db import connection

    from django_sf_oauth.models import SalesforceConnection

    table, vendor = SalesforceConnection._meta.db_table, connection.vendor
    lately = AT[vendor].format(seconds=LATELY)
    _execute(f"UPDATE {table} SET next_refresh_at = {lately}, claimed_until = NULL WHERE id % 20 = 0")  # noqa: S608  # ours
    if unfair:
        day_before = AT[vendor].format(seconds="-86400 - id % 3600")
        _execute(
            f"UPDATE {table} SET next_refresh_at = {day_before}, organization_id = '{BIG_ORG}'"  # noqa: S608
            " WHERE id % 40 = 0"
        )


def _execute(sql: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql)
