"""Several worker processes that send at once, on a real database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import ConnectionEvent, Notice
from django_sf_oauth.models.record import record
from tests.factories import make_connection, make_user
from tests.races.site import Site, open_site

pytestmark = pytest.mark.django_db(transaction=True)

PROCESSES = 3
READERS = 40
OPERATOR = "ops@example.com"


@pytest.fixture
def site(settings: Any) -> Iterator[Site]:
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "DIGEST": OPERATOR}
    with open_site(settings) as site:
        yield site


def test_processes_that_send_at_once_send_each_mail_once(site: Site) -> None:
    for number in range(READERS):
        user = make_user(email=f"reader{number}@example.com")
        row = make_connection(user=user, status=Status.RECONNECT_REQUIRED, reason="revoked")
        record(row, ConnectionEvent.Kind.RECONNECT_REQUIRED, reason="revoked")
    Notice.objects.update(due_at=timezone.now() - timedelta(minutes=1))

    with site.workers(row, processes=PROCESSES, threads=1, module="tests.notices.worker") as workers:
        for worker in workers:
            worker.go()
        got = [address for worker in workers for address in worker.fared()]

    assert sorted(got) == sorted([OPERATOR, *(f"reader{number}@example.com" for number in range(READERS))])
    assert Notice.objects.filter(told_at=None).count() == 0
