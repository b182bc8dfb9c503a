"""What the demo leaves in the folder ``var``."""

from __future__ import annotations

import shutil
from pathlib import Path

from django.db import connection

from django_sf_oauth.models import PendingRevocation, SalesforceConnection
from example_project.settings import DATABASES, MESSAGES

DATABASE_FILES = ("", "-wal", "-shm")


def forget() -> None:
    """Deletes the database. The keys stay: they open nothing any more."""
    connection.close()
    for suffix in DATABASE_FILES:
        Path(f"{DATABASES['default']['NAME']}{suffix}").unlink(missing_ok=True)


def forget_connections() -> None:
    """Deletes the connections of earlier runs: the fake starts empty, and knows none of their grants."""
    SalesforceConnection.objects.all().delete()
    PendingRevocation.objects.all().delete()


def clear_messages() -> None:
    """Deletes what the last worker left undone; the refresher looks at the rows anew."""
    shutil.rmtree(MESSAGES, ignore_errors=True)
    MESSAGES.mkdir()
