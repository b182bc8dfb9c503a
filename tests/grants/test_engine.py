from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock

import pytest

from django_sf_oauth.adapters.pool import CONNECTIONS_PER_HOST
from django_sf_oauth.grants.contract import Outcome
from django_sf_oauth.grants.engine import HANGS, THREADS, Engine

RENEWED = Outcome(kind="renewed")
SOON = 10.0  # seconds; nothing here takes so long


def test_each_thread_finds_a_place_in_the_pool_of_its_host() -> None:
    """Else those that exceed it would open a connection, and close it, for every exchange."""
    assert CONNECTIONS_PER_HOST >= THREADS >= 100


class Store:
    """As much of a store as the engine itself asks for."""

    def __init__(self, *, inline: bool = False) -> None:
        self._inline = inline
        self.let_go_by: list[str] = []

    def inline(self) -> bool:
        return self._inline

    def let_go(self) -> None:
        self.let_go_by.append(threading.current_thread().name)


class Exchange:
    """A refresh that goes on until the test says so."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.may_end = threading.Event()
        self.calls: list[tuple[int, int, bool, bool]] = []
        self.seen: list[object] = []
        self.threads: list[str] = []
        self.end: Callable[[], Outcome] = lambda: RENEWED

    def __call__(self, key: int, generation: int, *, forced: bool, ahead: bool, seen: object = None) -> Outcome:
        self.calls.append((key, generation, forced, ahead))
        self.seen.append(seen)
        self.threads.append(threading.current_thread().name)
        self.started.release()
        assert self.may_end.wait(SOON)
        return self.end()


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    exchange = Exchange()
    yield exchange
    exchange.may_end.set()


def engine_on(exchange: Exchange, store: Store | None = None) -> Engine:
    some_store: Any = store or Store()
    return Engine(some_store, exchange)


class CountingEngine(Engine):
    """Tells when a caller has started a refresh or joined one."""

    joined = threading.Semaphore(0)

    def submit(self, *args: Any, **kwargs: Any) -> Future[Outcome]:
        flight = super().submit(*args, **kwargs)
        self.joined.release()
        return flight


def test_many_threads_share_one_exchange(exchange: Exchange) -> None:
    some_store: Any = Store()
    engine = CountingEngine(some_store, exchange)

    with ThreadPoolExecutor(20) as threads:
        outcomes = [threads.submit(engine.refresh, 1, 7, patience=SOON) for _ in range(20)]
        assert all(engine.joined.acquire(timeout=SOON) for _ in range(20))
        exchange.may_end.set()

    assert [outcome.result() for outcome in outcomes] == [RENEWED] * 20
    assert exchange.calls == [(1, 7, False, False)]


def test_those_who_join_wait_for_the_same_future(exchange: Exchange) -> None:
    engine = engine_on(exchange)

    futures = {engine.submit(1, 7) for _ in range(5)}

    assert len(futures) == 1


@pytest.mark.parametrize(
    "other",
    [(2, 7, False, False), (1, 8, False, False), (1, 7, True, False), (1, 7, False, True)],
    ids=["row", "generation", "forced", "ahead"],
)
def test_another_refresh_flies_on_its_own(exchange: Exchange, other: tuple[int, int, bool, bool]) -> None:
    engine = engine_on(exchange)
    key, generation, forced, ahead = other

    one, two = engine.submit(1, 7), engine.submit(key, generation, forced=forced, ahead=ahead)

    assert one is not two
    exchange.may_end.set()
    assert [one.result(SOON), two.result(SOON)] == [RENEWED] * 2
    assert sorted(exchange.calls) == sorted([(1, 7, False, False), other])


def test_who_loses_patience_leaves_the_refresh_to_go_on(exchange: Exchange) -> None:
    store = Store()
    engine = engine_on(exchange, store)

    outcome = engine.refresh(1, 7, patience=0.01)

    assert (outcome.kind, outcome.reason, outcome.retry_after) == ("unavailable", "patience", 0.01)
    flight = engine.submit(1, 7)
    exchange.may_end.set()
    assert flight.result(SOON) is RENEWED
    assert len(exchange.calls) == 1


def test_the_exchange_runs_on_a_thread_that_closes_its_own_connections(exchange: Exchange) -> None:
    store = Store()
    exchange.may_end.set()

    engine_on(exchange, store).refresh(1, 7, patience=SOON)

    assert exchange.threads == store.let_go_by == ["sf-oauth-refresh_0"]


def test_an_unforeseen_error_reaches_the_caller_and_is_forgotten(exchange: Exchange) -> None:
    def fail() -> Outcome:
        raise LookupError

    engine = engine_on(exchange)
    exchange.may_end.set()
    exchange.end = fail
    with pytest.raises(LookupError):
        engine.refresh(1, 7, patience=SOON)
    exchange.end = lambda: RENEWED

    assert engine.refresh(1, 7, patience=SOON) is RENEWED


def test_a_connection_that_cannot_be_closed_blocks_no_later_refresh(exchange: Exchange) -> None:
    class Broken(Store):
        def let_go(self) -> None:
            super().let_go()
            if len(self.let_go_by) == 1:
                raise LookupError

    engine = engine_on(exchange, Broken())
    exchange.may_end.set()
    with pytest.raises(LookupError):
        engine.refresh(1, 7, patience=SOON)

    assert engine.refresh(1, 7, patience=SOON) is RENEWED


def test_inside_a_test_case_it_runs_on_the_callers_own_thread(exchange: Exchange) -> None:
    store = Store(inline=True)
    exchange.may_end.set()

    outcome = engine_on(exchange, store).refresh(1, 7, patience=SOON)

    assert outcome is RENEWED
    assert exchange.threads == [threading.current_thread().name]
    assert store.let_go_by == []


def test_an_inline_error_reaches_the_caller(exchange: Exchange) -> None:
    def fail() -> Outcome:
        raise LookupError

    exchange.may_end.set()
    exchange.end = fail

    with pytest.raises(LookupError):
        engine_on(exchange, Store(inline=True)).refresh(1, 7, patience=SOON)


def test_a_process_that_ends_can_wait_for_what_is_in_flight(exchange: Exchange) -> None:
    engine = engine_on(exchange)
    assert engine.drain(0.0)
    flight = engine.submit(1, 7)
    exchange.started.acquire(timeout=SOON)

    assert not engine.drain(0.01)
    exchange.may_end.set()

    assert engine.drain(SOON)
    assert flight.result(0) == RENEWED


def test_a_forked_child_starts_over() -> None:
    # In a process of its own: a fork of this one, with its threads, would not be what a prefork server does.
    child = subprocess.run(  # our own interpreter, our own module
        [sys.executable, "-W", "error", "-m", "tests.grants.forking"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (child.returncode, child.stdout, child.stderr) == (0, "parent\n", "")


def test_what_the_caller_has_read_goes_along(exchange: Exchange) -> None:
    read: Any = object()
    exchange.may_end.set()

    engine_on(exchange).submit(1, 7, see=lambda: read).result(SOON)

    assert exchange.seen == [read]


def test_only_who_starts_the_refresh_is_asked_what_it_has_read(exchange: Exchange) -> None:
    engine = engine_on(exchange)
    flight, see = engine.submit(1, 7), Mock()

    assert engine.submit(1, 7, see=see) is flight

    see.assert_not_called()


def test_a_timeout_of_the_refresh_itself_is_not_its_callers_patience(exchange: Exchange) -> None:
    def fail() -> Outcome:
        raise TimeoutError("of its own")

    exchange.end = fail
    exchange.may_end.set()

    with pytest.raises(TimeoutError, match="of its own"):
        engine_on(exchange).refresh(1, 7, patience=SOON)


def test_a_refresh_that_the_engine_has_not_noted_lets_its_connections_go_too(exchange: Exchange) -> None:
    store = Store()
    engine = engine_on(exchange, store)
    flight = engine.submit(1, 7)
    engine._flights.clear()
    exchange.may_end.set()

    assert flight.result(SOON) is RENEWED
    assert store.let_go_by == exchange.threads


def test_a_refresh_that_hangs_does_not_take_those_with_it_who_come_later(exchange: Exchange) -> None:
    now = [0.0]
    some_store: Any = Store()
    engine = Engine(some_store, exchange, monotonic=lambda: now[0])
    hangs = engine.submit(1, 7)
    assert exchange.started.acquire(timeout=SOON)
    now[0] = HANGS
    assert engine.submit(1, 7) is hangs

    now[0] += 1
    later = engine.submit(1, 7)

    assert later is not hangs
    assert engine.submit(1, 7) is later
    assert exchange.started.acquire(timeout=SOON)
    assert not engine.drain(0.01)
    exchange.may_end.set()
    assert [hangs.result(SOON), later.result(SOON)] == [RENEWED] * 2


def test_a_refresh_that_hung_may_end_beside_the_one_in_its_place(exchange: Exchange) -> None:
    now = [0.0]
    some_store: Any = Store()
    engine = Engine(some_store, exchange, monotonic=lambda: now[0])
    first_may_end, hung = threading.Event(), threading.Event()

    def hang() -> Outcome:
        hung.set()
        assert first_may_end.wait(SOON)
        return RENEWED

    exchange.end = hang
    exchange.may_end.set()
    hangs = engine.submit(1, 7)
    assert hung.wait(SOON)
    exchange.may_end.clear()
    exchange.end = lambda: RENEWED
    now[0] = HANGS + 1
    later = engine.submit(1, 7)

    first_may_end.set()
    assert hangs.result(SOON) is RENEWED

    assert engine.submit(1, 7) is later  # and is still under way
    assert len(exchange.calls) == 2
    exchange.may_end.set()
    assert later.result(SOON) is RENEWED


def test_a_worker_that_ends_waits_for_what_hangs_too(exchange: Exchange) -> None:
    now = [0.0]
    some_store: Any = Store()
    engine = Engine(some_store, exchange, monotonic=lambda: now[0])
    engine.submit(1, 7)
    assert exchange.started.acquire(timeout=SOON)
    now[0] = HANGS + 1
    hangs_may_end, exchange.may_end = exchange.may_end, threading.Event()
    exchange.may_end.set()
    assert engine.submit(1, 7).result(SOON) is RENEWED

    assert not engine.drain(0.01)

    hangs_may_end.set()
    assert engine.drain(SOON)


def test_what_waits_for_a_thread_does_not_hang(exchange: Exchange) -> None:
    now = [0.0]
    some_store: Any = Store()
    engine = Engine(some_store, exchange, monotonic=lambda: now[0])
    for key in range(THREADS):
        engine.submit(key, 7)
    waits = engine.submit(THREADS, 7)
    now[0] = HANGS + 1

    assert engine.submit(THREADS, 7) is waits

    exchange.may_end.set()
    assert waits.result(SOON) is RENEWED
