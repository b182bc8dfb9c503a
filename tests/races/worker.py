"""One process of a site: several threads, each with a user's request that calls Salesforce.

It reads its task as one line of JSON, says ``ready``, and for each line ``go`` or ``refresh`` that it then reads
prints how each thread fared. What it logs, at DEBUG, goes to stderr. Its task:

    connection: primary key
    threads: how many
    database: what differs from the settings of the default database
    salesforce: SALESFORCE_OAUTH
    use_tz: USE_TZ
    clock: seconds by which the clock of its machine is fast; optional
    stops: at which steps of a refresh it stops, and how often; optional, see `tests.races.stops`
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from tests.races.clocks import shift_clocks
from tests.races.saying import say

if TYPE_CHECKING:
    from django_sf_oauth.models import SalesforceConnection

__all__ = ["load", "main", "set_up"]


def main() -> None:
    task = json.loads(sys.stdin.readline())
    set_up(task)
    connections = load(task["connection"], task["threads"])
    say("ready")
    with ThreadPoolExecutor(task["threads"]) as threads:
        for command in iter(sys.stdin.readline, ""):
            say(json.dumps(list(threads.map(COMMANDS[command.strip()], connections))))


def set_up(task: dict[str, Any]) -> None:
    logging.basicConfig(level=logging.DEBUG)
    shift_clocks(task.get("clock", 0))
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django
    from django.conf import settings

    settings.DATABASES["default"].update(task["database"])
    settings.SALESFORCE_OAUTH = task["salesforce"]
    settings.USE_TZ = task["use_tz"]
    django.setup()

    from tests.races.stops import stop_at

    stop_at(task.get("stops", {}))


def load(pk: int, number: int) -> list[SalesforceConnection]:
    """An instance per thread, all with the access token of today, as requests that come at once have."""
    from django.db import connection

    from django_sf_oauth.models import SalesforceConnection

    rows = [SalesforceConnection.objects.get(pk=pk) for _ in range(number)]
    connection.close()
    return rows


def call(row: SalesforceConnection) -> str:
    """The status of an API call, or the code of the error that it ended with."""
    return attempt(lambda: str(row.client().get("limits").status_code))


def refresh(row: SalesforceConnection) -> str:
    """The generation after a refresh that somebody asked for, or the code of the error that it ended with."""

    def forced() -> str:
        row.refresh()
        return str(row.generation)

    return attempt(forced)


def attempt(what: Callable[[], str]) -> str:
    from django.db import connection

    from django_sf_oauth.exceptions import SalesforceOAuthError

    try:
        return what()
    except SalesforceOAuthError as error:
        return error.code
    finally:
        connection.close()


COMMANDS = {"go": call, "refresh": refresh}

if __name__ == "__main__":
    main()
