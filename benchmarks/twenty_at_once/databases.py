"""A database of its own for each peer, gone afterwards."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import environ

__all__ = ["DATABASES", "Database", "NoDatabase"]

SERVER = "postgres://postgres@127.0.0.1:5432/postgres"
CONNECTS_BY = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "NAME"}

Database = dict[str, Any]


class NoDatabase(RuntimeError):
    """There is no server to make a database on."""


@contextmanager
def sqlite() -> Iterator[Database]:
    """A file with a write-ahead log, which suits several writers best."""
    with tempfile.TemporaryDirectory(prefix="twenty-at-once-") as folder:
        yield {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(Path(folder) / "db.sqlite3"),
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }


@contextmanager
def postgresql() -> Iterator[Database]:
    """A new database on the server that ``TEST_POSTGRES_URL`` names.

    Raises:
        NoDatabase: the server does not answer.
    """
    import psycopg
    from psycopg.sql import SQL, Identifier

    server = environ.Env.db_url_config(os.environ.get("TEST_POSTGRES_URL", SERVER))
    name = f"twenty_at_once_{uuid.uuid4().hex[:12]}"
    values: dict[str, Any] = {name: server[key] or None for name, key in CONNECTS_BY.items()}
    try:
        connection = psycopg.connect(**values, autocommit=True)
    except psycopg.OperationalError as error:
        raise NoDatabase(str(error)) from error
    with connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        try:
            yield {**server, "NAME": name}
        finally:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


DATABASES: dict[str, Callable[[], AbstractContextManager[Database]]] = {
    "PostgreSQL": postgresql,
    "SQLite": sqlite,
}
