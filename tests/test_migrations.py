from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from tests.factories import make_connection


def tables() -> set[str]:
    return {name for name in connection.introspection.table_names() if name.startswith("django_sf_oauth_")}


@pytest.mark.django_db
def test_the_models_and_the_migrations_agree() -> None:
    call_command(
        "makemigrations", "django_sf_oauth", check=True, dry_run=True, skip_checks=True, stdout=StringIO()
    )


@pytest.mark.django_db(transaction=True)
def test_the_migrations_can_be_taken_back_and_applied_again() -> None:
    before = tables()

    call_command("migrate", "django_sf_oauth", "zero", verbosity=0, skip_checks=True)
    assert tables() == set()
    call_command("migrate", "django_sf_oauth", verbosity=0, skip_checks=True)

    assert tables() == before
    assert make_connection().pk
