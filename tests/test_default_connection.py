"""Which connection is meant when none is named."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest
from django.db import connections
from django.db.models import QuerySet
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.services.default_connection import become_default_if_first, make_default
from tests.factories import make_connection, make_user

pytestmark = pytest.mark.django_db


def test_the_first_becomes_the_default() -> None:
    connection = make_connection()
    make_connection(is_default=True)

    become_default_if_first(connection)

    connection.refresh_from_db()
    assert connection.is_default is True


def test_a_later_one_does_not() -> None:
    user = make_user()
    make_connection(user=user, is_default=True)
    connection = make_connection(user=user)

    become_default_if_first(connection)

    connection.refresh_from_db()
    assert connection.is_default is None


def test_one_that_lost_the_race_does_not() -> None:
    user = make_user()
    make_connection(user=user, is_default=True)
    connection = make_connection(user=user)

    with mock.patch.object(QuerySet, "exists", return_value=False):  # the other had not committed yet
        become_default_if_first(connection)

    connection.refresh_from_db()
    assert connection.is_default is None


def test_a_replica_that_lags_makes_no_second_default() -> None:
    connection = make_connection()
    replicas = mock.Mock(spec=["db_for_read"])

    with override_settings(DATABASE_ROUTERS=[replicas]):
        become_default_if_first(connection)

    replicas.db_for_read.assert_not_called()
    assert connection.is_default is True


def test_a_users_rows_are_locked_in_one_order_before_any_is_written() -> None:
    user = make_user()
    first, second = make_connection(user=user), make_connection(user=user, is_default=True)

    with CaptureQueriesContext(connections["default"]) as captured:
        make_default(first)

    statements = [query["sql"] for query in captured if query["sql"].startswith(("SELECT", "UPDATE"))]
    assert "ORDER BY" in statements[0]
    assert [sql.split()[0] for sql in statements] == ["SELECT", "UPDATE", "UPDATE"]
    second.refresh_from_db()
    assert second.is_default is None


@pytest.mark.django_db(transaction=True)
def test_two_choices_at_once_leave_one_default() -> None:
    user = make_user()
    rows = [make_connection(user=user), make_connection(user=user), make_connection(user=user, is_default=True)]
    barrier = threading.Barrier(2, timeout=10)

    def choose(row: SalesforceConnection) -> None:
        barrier.wait()
        try:
            make_default(row)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(choose, rows[:2]))

    default = SalesforceConnection.objects.get(user=user, is_default=True)
    assert default in rows[:2]
