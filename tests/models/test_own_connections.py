from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import pytest
from django.db import connection, connections

from django_sf_oauth.models.own_connections import OwnConnections

SOON = 10.0  # seconds; nothing here takes so long


def test_no_more_threads_than_that_have_a_connection_at_a_time() -> None:
    places = OwnConnections(3)
    lock, inside, seen = threading.Lock(), [0], [0]

    def use() -> None:
        for _ in range(20):
            places.take()
            with lock:
                inside[0] += 1
                seen[0] = max(seen[0], inside[0])
            with lock:
                inside[0] -= 1
            places.close()

    with ThreadPoolExecutor(12) as threads:
        for done in [threads.submit(use) for _ in range(12)]:
            done.result(SOON)

    assert 1 <= seen[0] <= 3


def test_a_thread_takes_one_place_however_often_it_asks() -> None:
    places = OwnConnections(1)
    for _ in range(3):
        places.take()
    places.close()
    places.close()

    with ThreadPoolExecutor(1) as other:
        other.submit(places.take).result(SOON)
    assert is_full(places)


def test_a_place_is_in_use_even_if_no_connection_could_be_opened() -> None:
    places = OwnConnections(1)

    def use() -> list[bool]:
        seen = [places.in_use]
        places.take()
        seen.append(places.in_use)
        places.close()
        return [*seen, places.in_use]

    with ThreadPoolExecutor(1) as other:
        assert other.submit(use).result(SOON) == [False, True, False]


@pytest.mark.django_db(transaction=True)
def test_a_connection_is_in_use_even_if_its_thread_took_no_place() -> None:
    places = OwnConnections(1)

    def use() -> list[bool]:  # as what somebody else calls on that thread may do
        connection.ensure_connection()
        seen = [places.in_use]
        places.close()
        return [*seen, places.in_use, connection.connection is not None]

    with ThreadPoolExecutor(1) as other:
        assert other.submit(use).result(SOON) == [True, False, False]


def is_full(places: OwnConnections) -> bool:
    return not places._places.acquire(blocking=False)


def test_those_that_hang_keep_nobody_out_for_ever() -> None:
    places = OwnConnections(1, longest_wait=0.01)
    places.take()

    with ThreadPoolExecutor(1) as other:
        other.submit(places.take).result(SOON)
        other.submit(places.close).result(SOON)  # it has none to give back

    assert is_full(places)


def test_a_place_is_given_back_whatever_a_pool_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    places = OwnConnections(1)

    def use() -> None:
        places.take()
        places.close()

    monkeypatch.setattr(connections, "close_all", Mock(side_effect=ValueError("can't return to the pool")))
    with ThreadPoolExecutor(1) as other:
        other.submit(use).result(SOON)

    assert not is_full(places)


def test_a_forked_child_has_all_places() -> None:
    places = OwnConnections(1)
    with ThreadPoolExecutor(1) as other:
        other.submit(places.take).result(SOON)

    assert is_full(places)

    places.start_over()

    places.take()
    assert is_full(places)


def test_a_place_that_is_free_is_taken_and_given_back() -> None:
    places = OwnConnections(most=1)

    assert [places.take_if_free(), places.take_if_free()] == [True, True]  # it is one place
    with ThreadPoolExecutor(1) as other:
        assert not other.submit(places.take_if_free).result(SOON)
        places.close()
        assert other.submit(places.take_if_free).result(SOON)


def test_who_would_have_to_wait_for_a_place_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    places = OwnConnections(most=1)
    taken = Mock(acquire=Mock(return_value=False))
    monkeypatch.setattr(places, "_places", taken)

    assert not places.take_if_free()

    taken.acquire.assert_called_once_with(blocking=False)
