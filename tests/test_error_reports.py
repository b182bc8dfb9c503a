"""What Django's error report, the page and the mail to the admins, may show: never a token."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn
from unittest.mock import patch

import pytest
from django.db import DatabaseError
from django.test import RequestFactory
from django.views.debug import ExceptionReporter

from django_sf_oauth import transport
from django_sf_oauth.conf import get_app
from django_sf_oauth.grants.refresh import Refresher
from django_sf_oauth.models import PendingRevocation, SalesforceConnection
from django_sf_oauth.models.store import RowStore
from tests.factories import make_connection

pytestmark = pytest.mark.django_db

# Joined here: the report also quotes the source lines round each frame, and so this file.
REFRESH = "-".join(["5Aep861.planted", "refresh", "token"])
ACCESS = "-".join(["00D000000000001!planted", "access", "token"])


def report_of(act: Callable[[], object]) -> str:
    """The report of the error that ends `act`, with the local variables of every frame of the package."""
    with pytest.raises((RuntimeError, DatabaseError)) as caught:
        act()
    return ExceptionReporter(RequestFactory().get("/"), caught.type, caught.value, caught.tb).get_traceback_html()


@pytest.fixture
def row() -> SalesforceConnection:
    return make_connection(access_token=ACCESS, refresh_token=REFRESH)


def test_a_refresh_that_breaks_shows_no_token(row: SalesforceConnection) -> None:
    with patch.object(transport.operations, "_tokens", side_effect=RuntimeError("broken")):
        report = report_of(lambda: transport.refresh(get_app(), login_url=row.login_url, refresh_token=REFRESH))

    assert "opaque" in report
    assert REFRESH not in report


def test_a_refresh_that_breaks_further_in_shows_no_token(row: SalesforceConnection) -> None:
    def ask(*args: object, **kwargs: object) -> NoReturn:
        raise RuntimeError("broken")

    report = report_of(lambda: Refresher(store=RowStore(), ask=ask)(row.pk, row.generation))

    assert "_ask" in report
    assert REFRESH not in report


def test_a_disconnect_that_the_database_breaks_shows_no_token(row: SalesforceConnection) -> None:
    with patch.object(PendingRevocation, "save", side_effect=DatabaseError("broken")):
        report = report_of(row.disconnect)

    assert "forget_later" in report
    assert REFRESH not in report
    assert ACCESS not in report
