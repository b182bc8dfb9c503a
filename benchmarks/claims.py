"""How many claims and stores a second twenty connections make, each committed before its caller goes on.

Run with ``python -m benchmarks.claims``, with a PostgreSQL at ``TEST_POSTGRES_URL``. Beside it, in turns: the same
two statements by hand on a bare connection, without sealing anything; with all that a store has to write, sealed
tokens and the due time, which is in an index; and through the ORM.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from .postgres import server
from .stampede import database, set_up
from .stampede_ways import DATABASE
from .turns import verdict

PROCESSES, THREADS = 2, 10  # a process for each core of a small machine, to which it keeps, as the docs advise
CYCLES = 150
ROUNDS = 5
ORIGIN = "https://login.salesforce.com"
OURS, BARE, ORM = "django-sf-oauth", "two bare statements", "the ORM: update, get, update, get"
BY_HAND = "the same, with all that a store writes"
GOAL = 3500  # cycles a second, on a machine where the bare statements made so many as this:
BARE_THERE = 3945

TABLE = "django_sf_oauth_salesforceconnection"
ANSWER: dict[str, Any] = {"access_token": "00D" + "a" * 109, "refresh_token": "5Aep861" + "r" * 80}
CLAIM = (
    f"UPDATE {TABLE} SET lease_owner = %s, lease_until = %s"  # noqa: S608  # no value is in it
    " WHERE id = %s AND generation = %s AND lease_owner IS NULL"
)
STORE = (
    f"UPDATE {TABLE} SET access_token = %s, refresh_token = %s, lease_owner = NULL,"  # noqa: S608  # likewise
    " lease_until = NULL, generation = generation + 1 WHERE id = %s AND generation = %s"
)
SEALED = b"s1:0123abcd:" + b"x" * 240  # about as long as a sealed token


def work(first: int) -> None:
    """Answers each line (the name of a way) when its threads have made their cycles."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[first // THREADS % len(cores)]})
    set_up(ORIGIN, MOST_REFRESHES=None)
    from django.db import connection

    def run(way: Callable[[int], None], pk: int) -> None:
        way(pk)
        connection.close()

    with ThreadPoolExecutor(THREADS) as threads:
        print("ready", flush=True)
        for line in sys.stdin:
            way = WAYS[line.strip()]
            list(threads.map(lambda pk, way=way: run(way, pk), range(first, first + THREADS)))
            print("done", flush=True)


def ours(pk: int) -> None:
    from django_sf_oauth.models.store import RowStore
    from django_sf_oauth.protocol.tokens import TokenAnswer

    store = RowStore()
    grant = store.read(pk)
    store.let_go()
    answer = TokenAnswer(**ANSWER)
    for _ in range(CYCLES):
        assert grant is not None
        claim = store.claim_at_once(grant, lease=90)
        assert claim is not None
        grant = store.store(claim, answer)


def bare(pk: int) -> None:
    with server(DATABASE) as connection:
        generation = connection.execute(
            f"SELECT generation FROM {TABLE} WHERE id = %s",  # noqa: S608  # a name
            [pk],
        ).fetchone()[0]
        for number in range(generation, generation + CYCLES):
            assert connection.execute(CLAIM, [uuid4(), 1, pk, number]).rowcount == 1
            assert connection.execute(STORE, [SEALED, SEALED, pk, number]).rowcount == 1


def by_hand(pk: int) -> None:
    from django_sf_oauth.conf import get_app
    from django_sf_oauth.models.readings import renewed
    from django_sf_oauth.models.store import RowStore
    from django_sf_oauth.models.token_values import token_values
    from django_sf_oauth.protocol.tokens import TokenAnswer

    store = RowStore()
    grant = store.read(pk)
    store.let_go()
    answer = TokenAnswer(**ANSWER)
    with server(DATABASE) as connection:
        for _ in range(CYCLES):
            assert grant is not None
            assert connection.execute(CLAIM, [uuid4(), 1, pk, grant.generation]).rowcount == 1
            values = token_values(grant, answer, get_app()) | {"generation": grant.generation + 1}
            columns = ", ".join(f"{name} = %s" for name in values)
            sql = f"UPDATE {TABLE} SET {columns} WHERE id = %s AND generation = %s"  # noqa: S608  # names of fields
            assert connection.execute(sql, [*values.values(), pk, grant.generation]).rowcount == 1
            grant = renewed(grant, values)


def through_the_orm(pk: int) -> None:
    from django.db import transaction

    from django_sf_oauth.fields import Ciphertext
    from django_sf_oauth.models import SalesforceConnection

    rows = SalesforceConnection.objects.filter(pk=pk)
    for _ in range(CYCLES):
        with transaction.atomic():
            generation = rows.values_list("generation", flat=True).get()
            assert rows.filter(generation=generation, lease_owner=None).update(lease_owner=uuid4(), lease_until=1)
            rows.get()
        values: dict[str, Any] = {"access_token": Ciphertext(SEALED), "refresh_token": Ciphertext(SEALED)}
        with transaction.atomic():
            rows.filter(generation=generation).update(
                **values, lease_owner=None, lease_until=None, generation=generation + 1
            )
            rows.get()


WAYS: Mapping[str, Callable[[int], None]] = {OURS: ours, BARE: bare, BY_HAND: by_hand, ORM: through_the_orm}


def main() -> int:
    with database(ORIGIN):
        first = connect(PROCESSES * THREADS)
        workers = [start(first + number * THREADS) for number in range(PROCESSES)]
        try:
            return show(measure(workers))
        finally:
            for worker in workers:
                worker.kill()
                worker.communicate()


def measure(workers: list[subprocess.Popen[str]]) -> dict[str, float]:
    """Cycles a second of each way: the median of its turns."""
    for worker in workers:
        hear(worker, "ready")
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(ROUNDS + 1):
        for way, found in rates.items():
            started = time.perf_counter()
            for worker in workers:
                assert worker.stdin is not None
                worker.stdin.write(f"{way}\n")
                worker.stdin.flush()
            for worker in workers:
                hear(worker, "done")
            if number:  # the first one warms everybody up
                found.append(PROCESSES * THREADS * CYCLES / (time.perf_counter() - started))
    return {way: statistics.median(found) for way, found in rates.items()}


def show(rates: Mapping[str, float]) -> int:
    print(f"{PROCESSES * THREADS} connections, claim and store, each committed")
    for way, rate in rates.items():
        print(f"{way:38} {rate:8.0f} cycles/s   ratio {rate / rates[BARE]:5.2f}")
    print(f"{OURS}: ≥ {GOAL} cycles/s, if this machine is as fast as that one  {verdict(rates[OURS] >= GOAL)}")
    ratio = GOAL / BARE_THERE
    met = rates[OURS] >= ratio * rates[BARE]
    print(f"{OURS}: ≥ {ratio:.2f} of the bare statements  {verdict(met)}")
    print(f"{OURS}: {rates[OURS] / rates[BY_HAND]:.2f} of what is done by hand, if that writes the same")
    return 0 if met else 1


def start(first: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.claims", "work", str(first)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)  # noqa: S603  # ourselves


def hear(worker: subprocess.Popen[str], expected: str) -> None:
    assert worker.stdout is not None
    assert worker.stdout.readline().strip() == expected


def connect(number: int) -> int:
    """So many connections; gives the primary key of the first, which the others follow."""
    from .project import connect

    return min(connect().pk for _ in range(number))


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(int(sys.argv[2]))
    else:
        sys.exit(main())
