"""Inactive users of the site neither use nor refresh."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sf_oauth import aget_connection, get_connection
from django_sf_oauth.exceptions import NotConnected
from django_sf_oauth.models import SalesforceConnection, active_user
from django_sf_oauth.models.active_user import active_among, is_active
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection, make_user

pytestmark = pytest.mark.django_db

Use = Callable[[SalesforceConnection], object]

uses: dict[str, Use] = {
    "client": lambda row: row.client().get("limits"),
    "bearer": lambda row: row.bearer(),
    "abearer": lambda row: async_to_sync(row.abearer)(),
    "valid_access_token": lambda row: row.valid_access_token(),
    "refresh": lambda row: row.refresh(),
    "renew": lambda row: row.renew(row.generation),
    "arenew": lambda row: async_to_sync(row.arenew)(row.generation),
}


def deactivate() -> None:
    get_user_model().objects.update(is_active=False)


@pytest.mark.parametrize("use", uses.values(), ids=uses)
def test_an_inactive_user_neither_uses_nor_refreshes(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection, use: Use
) -> None:
    deactivate()
    row = SalesforceConnection.objects.get()

    for _ in range(2):
        with pytest.raises(NotConnected) as caught:
            use(row)
        assert (caught.value.code, caught.value.connection_id) == ("user_inactive", row.uuid)

    assert fake_salesforce.requests == []
    assert SalesforceConnection.objects.get().last_used_at is None


@pytest.mark.parametrize("get", [get_connection, async_to_sync(aget_connection)], ids=["sync", "async"])
def test_an_inactive_user_gets_no_connection(get: Callable[..., Any]) -> None:
    user = make_user(is_active=False)
    make_connection(user=user, is_default=True)

    with CaptureQueriesContext(connection) as queries, pytest.raises(NotConnected) as caught:
        get(user)

    assert caught.value.code == "user_inactive"
    assert len(queries) == 0


@pytest.mark.django_db(transaction=True)
def test_a_request_pays_no_query_for_it() -> None:
    user = make_user()
    make_connection(user=user, is_default=True)

    with CaptureQueriesContext(connection) as queries:
        get_connection(user).bearer()

    table = get_user_model()._meta.db_table
    assert len(queries) == 5  # the connection; begin, lock, write, commit
    assert not [query for query in queries.captured_queries if f'FROM "{table}"' in query["sql"]]


def test_without_a_user_at_hand_it_is_asked_when_the_use_is_noted() -> None:
    make_connection(last_used_at=timezone.now())
    make_connection()
    noted, first = SalesforceConnection.objects.order_by("pk")

    with CaptureQueriesContext(connection) as queries:
        noted.bearer()
    assert len(queries) == 0
    with CaptureQueriesContext(connection) as queries:
        first.bearer()
    assert len(queries) == 1


def test_whom_nobody_can_ask_about_is_taken_for_active() -> None:
    make_connection()
    row = SalesforceConnection.objects.get()

    def down(*args: Any) -> None:
        raise DatabaseError("down")

    with connection.execute_wrapper(down):
        assert row.bearer()


def test_a_user_model_need_not_know_of_activity() -> None:
    assert is_active(object())


# Many at once


def test_those_of_a_batch_who_are_active_are_told_apart_without_being_loaded() -> None:
    active, inactive = make_user(), make_user(is_active=False)
    keys = {active.pk, inactive.pk}

    with CaptureQueriesContext(connection) as queries:
        found = active_among("default", keys)

    assert found == {active.pk}
    assert len(queries) == 1
    assert "password" not in queries[0]["sql"]


def test_a_user_model_may_work_out_who_is_active(monkeypatch: pytest.MonkeyPatch) -> None:
    active, locked_out = make_user(), make_user()

    class Worked:
        """A user model without the field; Django asks its instances."""

        _meta = SimpleNamespace(concrete_fields=[])
        _base_manager = SimpleNamespace(
            using=lambda alias: SimpleNamespace(
                in_bulk=lambda keys: {key: SimpleNamespace(is_active=key == active.pk) for key in keys}
            )
        )

    monkeypatch.setattr(active_user, "get_user_model", lambda: Worked)

    assert active_among("default", {active.pk, locked_out.pk}) == {active.pk}
