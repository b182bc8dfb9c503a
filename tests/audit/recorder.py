"""One process of a site that records events of one connection, as fast as it can.

What it is told at first, see `tests.races.worker`. Beside the events of the connection it writes some that are of
none, and verifies meanwhile what all have written.
"""

from __future__ import annotations

import json
import sys
from collections import Counter

from tests.races.saying import say
from tests.races.worker import set_up

__all__ = ["EVENTS", "main"]

EVENTS = 12


def main() -> None:
    task = json.loads(sys.stdin.readline())
    set_up(task)
    from django.db import transaction

    from django_sf_oauth.models import ConnectionEvent, SalesforceConnection
    from django_sf_oauth.models.record import record, record_all, record_failure
    from django_sf_oauth.services.audit_verification import verify

    row = SalesforceConnection.objects.get(pk=task["connection"])
    say("ready")
    for _ in sys.stdin:
        wrong = []
        for _ in range(EVENTS):
            with transaction.atomic():  # as a refresh does, which has its row locked
                record(
                    SalesforceConnection.objects.select_for_update().get(pk=row.pk), ConnectionEvent.Kind.BLOCKED
                )
            record_all([row, row], ConnectionEvent.Kind.VERDICT_WITHDRAWN)
            record_failure(row.user, app="default", reason="access_denied", connection=row)
        for _ in range(3):
            wrong += [one.what for one in verify(ConnectionEvent.objects.all(), Counter(), whole=True)]
        say(json.dumps(wrong))


if __name__ == "__main__":
    main()
