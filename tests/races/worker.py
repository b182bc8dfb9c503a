"""One process of a site: several threads, each with a user's request that calls Salesforce.

It reads what to do as one line of JSON, says ``ready``, waits for another line, and prints how each thread fared.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_sf_oauth.models import SalesforceConnection

__all__ = ["main"]


def main() -> None:
    task = json.loads(sys.stdin.readline())
    set_up(task)
    connections = load(task["connection"], task["threads"])
    say("ready")
    sys.stdin.readline()
    with ThreadPoolExecutor(task["threads"]) as threads:
        say(json.dumps(list(threads.map(call, connections))))


def set_up(task: dict[str, Any]) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = task["database"]
    settings.SALESFORCE_OAUTH = task["salesforce"]
    django.setup()


def load(pk: int, number: int) -> list[SalesforceConnection]:
    """An instance per thread, all with the access token of today, as requests that come at once have."""
    from django.db import connection

    from django_sf_oauth.models import SalesforceConnection

    rows = [SalesforceConnection.objects.get(pk=pk) for _ in range(number)]
    connection.close()
    return rows


def call(row: SalesforceConnection) -> str:
    """The status of an API call, or the code of the error that it ended with."""
    from django.db import connection

    from django_sf_oauth.exceptions import SalesforceOAuthError

    try:
        return str(row.client().get("limits").status_code)
    except SalesforceOAuthError as error:
        return error.code
    finally:
        connection.close()


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # the test reads it


main()
