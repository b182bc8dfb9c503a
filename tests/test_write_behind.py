"""Batches that are written while the next one is made."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connection, connections, transaction

from django_sf_oauth.services.write_behind import written_behind

SOON = 10.0  # seconds; nothing here takes so long
BESIDE = connection.vendor != "sqlite"  # which has one writer at a time


def write(names: list[str]) -> tuple[int, int]:
    """Gives the number of rows, and the thread that wrote them."""
    users = get_user_model().objects
    users.bulk_create([get_user_model()(username=name) for name in names])
    return len(names), threading.get_ident()


@pytest.mark.django_db(transaction=True)
def test_batches_are_written_in_order_on_one_thread_beside_the_caller() -> None:
    batches = [["ada"], ["grace", "joan"], ["mary"]]

    written = list(written_behind("default", batches, write))

    assert [(batch, rows) for batch, (rows, _) in written] == [(batch, len(batch)) for batch in batches]
    assert get_user_model().objects.count() == 4
    threads = {thread for _, (_, thread) in written}
    assert len(threads) == 1
    assert (threads != {threading.get_ident()}) is BESIDE


@pytest.mark.django_db(transaction=True)
def test_the_next_batch_is_made_while_one_is_written() -> None:
    made = threading.Event()

    def batches() -> Iterator[list[str]]:
        yield ["ada"]
        made.set()
        yield ["grace"]

    def write_slowly(names: list[str]) -> bool:
        return made.wait(SOON if BESIDE else 0.0)

    assert [seen for _, seen in written_behind("default", batches(), write_slowly)] == [BESIDE, True]


@pytest.mark.django_db
def test_within_a_transaction_it_is_the_caller_who_writes() -> None:
    with transaction.atomic():
        written = list(written_behind("default", [["ada"]], write))

    assert written == [(["ada"], (1, threading.get_ident()))]


@pytest.mark.django_db(transaction=True)
def test_nothing_to_write_is_no_trouble() -> None:
    assert list(written_behind("default", [], write)) == []


@pytest.mark.django_db(transaction=True)
def test_a_batch_that_cannot_be_written_ends_it_and_leaves_no_connection_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[int] = []
    close_all = connections.close_all

    def close() -> None:
        closed.append(threading.get_ident())
        close_all()

    monkeypatch.setattr(connections, "close_all", close)

    def refuse(names: list[str]) -> None:
        raise DatabaseError

    with pytest.raises(DatabaseError):
        list(written_behind("default", [["ada"], ["grace"], ["joan"]], refuse))

    assert len(closed) == BESIDE
    assert threading.get_ident() not in closed
