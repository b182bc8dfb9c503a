"""What the tests of this folder know of the database that they run on."""

from __future__ import annotations

import pytest
from django.conf import settings

__all__ = ["VENDOR", "server_only", "sqlite_only"]

VENDOR = settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]

server_only = pytest.mark.skipif(
    VENDOR == "sqlite3", reason="a file cannot be cut off; set DATABASE_URL to a PostgreSQL or MariaDB to run it"
)

sqlite_only = pytest.mark.skipif(VENDOR != "sqlite3", reason="only SQLite locks the whole database")
