"""The smallest Django project with the package in it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_sf_oauth.models import SalesforceConnection

__all__ = ["connect", "project", "set_up"]

numbers = count(1)


def set_up(database: Mapping[str, Any], *, keys: Sequence[str] = ("benchmark-key",), **app: Any) -> None:
    """Sets Django up, with the package's settings in `app`."""
    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY="benchmark",  # noqa: S106  # of nothing
        FERNET_KEYS=list(keys),
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_sf_oauth"],
        SALESFORCE_OAUTH={"CLIENT_ID": "benchmark", "CLIENT_SECRET": "benchmark", **app},
        DATABASES={"default": dict(database)},
    )
    django.setup()


@contextmanager
def project(**app: Any) -> Iterator[Path]:
    """Sets Django up on SQLite, with tables, as `set_up`; gives a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        set_up({"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/db.sqlite3"}, **app)
        from django.core.management import call_command
        from django.db import connections

        call_command("migrate", verbosity=0)
        yield Path(folder)
        connections.close_all()


def connect(**values: Any) -> SalesforceConnection:
    """A connection of a new user, in the database."""
    from django.contrib.auth import get_user_model

    from django_sf_oauth.models import SalesforceConnection

    number = next(numbers)
    facts = {
        "user": get_user_model().objects.create(username=f"user{number}"),
        "organization_id": "00D000000000001EAA",
        "salesforce_user_id": f"005{number:012d}AAA",
        "instance_url": "https://acme.my.salesforce.com",
        "login_url": "https://login.salesforce.com",
        "scopes": ["api", "refresh_token", "openid"],
        "access_token": f"00D000000000001!{number:0100d}",
        "refresh_token": f"5Aep861{number:080d}",
        "is_default": True,
    }
    return SalesforceConnection.objects.create(**{**facts, **values})
