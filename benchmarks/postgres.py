"""The PostgreSQL at ``TEST_POSTGRES_URL``, and databases there that are gone afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["POSTGRES", "database_of", "own_database", "server"]

POSTGRES = os.environ.get("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")


def database_of(name: str, **options: Any) -> dict[str, Any]:
    """What Django's settings say of a database there."""
    import environ

    return {**environ.Env.db_url_config(POSTGRES), "NAME": name, "OPTIONS": options}


def server(database: str = "postgres") -> Any:
    """A bare connection."""
    import environ
    import psycopg

    config = environ.Env.db_url_config(POSTGRES)
    return psycopg.connect(
        host=config["HOST"],
        port=config["PORT"] or 5432,
        user=config["USER"],
        password=config["PASSWORD"],
        dbname=database,
        autocommit=True,
    )


@contextmanager
def own_database(name: str, set_up: Callable[[], None]) -> Iterator[None]:
    """A new database with tables; `set_up` sets Django up on it."""
    with server() as administration:
        administration.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        administration.execute(f"CREATE DATABASE {name}")
        try:
            set_up()
            from django.core.management import call_command
            from django.db import connections

            call_command("migrate", verbosity=0)
            yield
            connections.close_all()
        finally:
            administration.execute(f"DROP DATABASE {name} WITH (FORCE)")
