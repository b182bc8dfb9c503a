"""Another process of the site, which uses a connection when it is told to, on a clock that it is told as well.

Arguments: name of the database, primary key of the connection. Each line of its input is answered by one line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django_sf_oauth.models import SalesforceConnection


def main(database: str, pk: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = database
    django.setup()
    from django.db import connection

    from django_sf_oauth.models import SalesforceConnection

    row = SalesforceConnection.objects.get(pk=pk)
    connection.close()
    answers: dict[str, Callable[[], str]] = {"use": lambda: use(row), "later": later}
    for line in sys.stdin:
        print(answers[line.strip()](), flush=True)  # noqa: T201  # the test reads it
    connection.close()


def use(row: SalesforceConnection) -> str:
    from django_sf_oauth.exceptions import TemporarilyUnavailable

    try:
        row.bearer()
    except TemporarilyUnavailable as error:
        return error.code
    return "used"


def later() -> str:
    from django_sf_oauth.models import kill_switch

    here = vars(kill_switch)
    moved = here["time"].monotonic() + kill_switch.FELT_WITHIN
    here["time"] = SimpleNamespace(monotonic=lambda: moved)  # all that it uses of the module
    return f"{kill_switch.FELT_WITHIN} seconds later"


main(*sys.argv[1:])
