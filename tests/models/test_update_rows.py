"""Many updates in one commit: the same rules on each database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sf_oauth.fields import sealed_field
from django_sf_oauth.models import Hold, SalesforceConnection
from django_sf_oauth.models.columns import Ahead
from django_sf_oauth.models.update_row import RowUpdate
from django_sf_oauth.models.update_rows import update_rows
from tests.factories import make_connection
from tests.models.locking import locked, referred_to

SOON = 30.0  # seconds; nothing here takes so long
SCOPES = ("all", "app:default")


def update(row: SalesforceConnection, **changes: Any) -> RowUpdate:
    values = {"reason": "", "lease_until": Ahead(90_000), "username": f"name of {row.pk}", **changes}
    return RowUpdate(pk=row.pk, values=values, fence={"generation": row.generation, "lease_owner": None})


def names() -> list[str]:
    return list(SalesforceConnection.objects.order_by("pk").values_list("username", flat=True))


@pytest.mark.django_db
def test_each_row_gets_its_own_values() -> None:
    rows = [make_connection() for _ in range(3)]

    updated = update_rows("default", [update(row) for row in rows])

    assert updated == {row.pk for row in rows}
    assert names() == [f"name of {row.pk}" for row in rows]
    assert all(SalesforceConnection.objects.values_list("lease_until", flat=True))


@pytest.mark.django_db
def test_one_row_is_updated_like_many() -> None:
    row = make_connection()

    assert update_rows("default", [update(row)]) == {row.pk}


@pytest.mark.django_db
def test_each_row_is_fenced_by_itself() -> None:
    rows = [make_connection() for _ in range(3)]
    SalesforceConnection.objects.filter(pk=rows[1].pk).update(generation=2)

    assert update_rows("default", [update(row) for row in rows]) == {rows[0].pk, rows[2].pk}


@pytest.mark.django_db
@pytest.mark.parametrize("loaded", [None, timezone.now()], ids=["was empty", "was set"])
def test_empty_and_set_are_told_apart(loaded: Any) -> None:
    """A fence on NULL is no comparison in SQL."""
    rows = [make_connection(), make_connection(retry_at=timezone.now())]
    fences = [None, rows[1].retry_at]
    updates = [
        RowUpdate(pk=row.pk, values={"retry_at": loaded}, fence={"retry_at": fence})
        for row, fence in zip(rows, fences, strict=True)
    ]

    assert update_rows("default", updates) == {row.pk for row in rows}
    assert update_rows("default", [*updates[:1]]) == ({rows[0].pk} if loaded is None else set())


@pytest.mark.django_db
def test_sealed_values_go_in_as_they_are() -> None:
    rows = [make_connection() for _ in range(2)]
    field = sealed_field(SalesforceConnection, "refresh_token")
    updates = [update(row, refresh_token=field.ciphertext(row.uuid, f"token of {row.pk}")) for row in rows]

    update_rows("default", updates)

    for row in SalesforceConnection.objects.all():
        assert row.refresh_token is not None
        assert row.refresh_token.reveal() == f"token of {row.pk}"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("username", ['a,b "c" {d}', "NULL", "\\'"]),
        ("generation", [2, 2**31, 3]),
        ("refresh_load", [0.25, 1e-9, 12345678.5]),
        ("is_sandbox", [True, False, True]),
        (
            "retry_at",
            [datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), None, datetime(9000, 1, 1, tzinfo=UTC)],
        ),
        ("learned_lifetime", [timedelta(days=3, microseconds=1), None, timedelta(minutes=-5)]),
        ("lease_owner", [UUID(int=1), None, UUID(int=2**128 - 1)]),
        ("scopes", [["api", 'b"c'], [], ["NULL"]]),
        ("username", ["the same"] * 3),
        ("retry_at", [None] * 3),
    ],
)
def test_values_arrive_as_they_are_whatever_their_type(name: str, values: list[Any]) -> None:
    rows = [make_connection() for _ in values]
    updates = [
        RowUpdate(pk=row.pk, values={name: value}, fence={"generation": 1})
        for row, value in zip(rows, values, strict=True)
    ]

    assert update_rows("default", updates) == {row.pk for row in rows}

    assert [getattr(SalesforceConnection.objects.get(pk=row.pk), name) for row in rows] == values
    again = [
        RowUpdate(pk=row.pk, values={"reason": "x"}, fence={name: value})
        for row, value in zip(rows, values, strict=True)
    ]
    assert update_rows("default", again) == {row.pk for row in rows}
    elsewhere = [RowUpdate(pk=row.pk, values={"reason": "x"}, fence={name: values[0]}) for row in rows]
    assert update_rows("default", elsewhere) == {
        row.pk for row, value in zip(rows, values, strict=True) if value == values[0]
    }


@pytest.mark.django_db
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(
    ("scope", "lasts", "is_held"),
    [
        ("all", None, True),
        ("app:default", timedelta(minutes=1), True),
        ("app:default", timedelta(minutes=-1), False),
        ("app:other", None, False),
    ],
    ids=["for all", "for a while", "over", "for another app"],
)
def test_nothing_is_claimed_while_it_is_held(
    scope: str, lasts: timedelta | None, is_held: bool, number: int
) -> None:
    rows = [make_connection() for _ in range(number)]
    until = None if lasts is None else timezone.now() + lasts
    Hold.objects.create(scope=scope, reason="worst day", until=until)
    updates = [
        RowUpdate(pk=row.pk, values={"reason": "x"}, fence={"generation": 1}, unless_held=SCOPES) for row in rows
    ]

    assert update_rows("default", updates) == (set() if is_held else {row.pk for row in rows})


@pytest.mark.django_db
def test_many_rows_are_one_statement_where_the_database_can() -> None:
    rows = [make_connection() for _ in range(20)]

    with CaptureQueriesContext(connection) as queries:
        update_rows("default", [update(row) for row in rows])

    if connection.vendor == "postgresql":
        assert len(queries) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite locks no rows")
def test_a_row_that_somebody_has_locked_keeps_nobody_waiting() -> None:
    rows = [make_connection() for _ in range(3)]

    with locked(rows[1]):
        alone = update_rows("default", [update(rows[1])])
        updated = update_rows("default", [update(row) for row in rows])

    assert alone == set()
    assert updated == {rows[0].pk, rows[2].pk}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.skipif(connection.vendor != "postgresql", reason="elsewhere it has to wait for such a transaction")
def test_a_row_is_updated_beside_a_transaction_that_refers_to_it(number: int) -> None:
    """As that of a request, which has written a line of its own about a connection."""
    rows = [make_connection() for _ in range(number)]

    with referred_to(rows[0]):
        updated = update_rows("default", [update(row) for row in rows])

    assert updated == {row.pk for row in rows}


@pytest.mark.django_db
def test_one_row_is_fenced_as_well() -> None:
    row = make_connection()
    SalesforceConnection.objects.filter(pk=row.pk).update(generation=2)

    assert update_rows("default", [update(row)]) == set()
    assert names() == [row.username]


@pytest.mark.django_db(transaction=True)
def test_what_was_updated_is_committed() -> None:
    row = make_connection()

    update_rows("default", [update(row)])

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(_names_elsewhere).result(SOON) == [f"name of {row.pk}"]


def _names_elsewhere() -> list[str]:
    try:
        return names()
    finally:
        connections.close_all()
