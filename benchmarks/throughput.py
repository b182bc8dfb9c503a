"""How many connections one child of a Celery worker refreshes a second, and what each costs it.

Run with ``python -m benchmarks.throughput``, with a PostgreSQL at ``TEST_POSTGRES_URL`` and a Redis at
``TEST_REDIS_URL``. The token endpoint takes 100 ms and rotates. Beside it, in the same run, a task for each
connection.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from .postgres import POSTGRES, server
from .stampede import database
from .stampede_ways import DATABASE
from .token_endpoint import TokenEndpoint, first_token, serving
from .turns import verdict

CONNECTIONS = 5000
NAIVELY = 60  # of them; more would take minutes
BATCH = 500
EXCHANGE = 0.1  # seconds that the token endpoint takes
SOON = 120.0  # seconds
GOAL, CPU_GOAL = 700, 1.0  # refreshes a second; milliseconds each, on a machine where the naive way took this:
RATE_THERE, CPU_THERE = 9.0, 4.8
OURS, NAIVE = "refresh_connections, batches of 500", "a task for each connection"


def main() -> int:
    with serving(EXCHANGE) as endpoint, database(endpoint.url):
        keys = connect(endpoint.url, CONNECTIONS + NAIVELY)
        with worker(endpoint.url) as tasks:
            warm_up(tasks, keys[:BATCH])
            ours = measure(tasks, keys[BATCH:CONNECTIONS], tasks.refresh_in_batches)
            naive = measure(tasks, keys[CONNECTIONS:], tasks.refresh_one_by_one)
        return show({OURS: ours, NAIVE: naive}, endpoint)


def connect(origin: str, number: int) -> list[int]:
    """So many connections, each of a user of its own."""
    from django.contrib.auth import get_user_model
    from django.utils import timezone

    from django_sf_oauth.models import SalesforceConnection

    users = get_user_model().objects
    made = users.bulk_create(
        [get_user_model()(username=f"user{serial}") for serial in range(number)], batch_size=500
    )
    rows = [
        SalesforceConnection(
            user=user,
            organization_id="00D000000000001EAA",
            salesforce_user_id=f"005{serial:012d}AAA",
            instance_url="https://acme.my.salesforce.com",  # which the token endpoint names: a move is looked into
            login_url=origin,
            access_token="expired",  # noqa: S106  # no secret
            refresh_token=first_token(f"family{serial}"),
            next_refresh_at=timezone.now(),
        )
        for serial, user in enumerate(made)
    ]
    return [row.pk for row in SalesforceConnection.objects.bulk_create(rows, batch_size=500)]


class Tasks:
    """What the worker is told to do."""

    def __init__(self) -> None:
        from .worker import app

        self._app = app

    def refresh_in_batches(self, keys: Sequence[int]) -> None:
        for start in range(0, len(keys), BATCH):
            self._app.send_task("django_sf_oauth.refresh_connections", args=[list(keys[start : start + BATCH])])

    def refresh_one_by_one(self, keys: Sequence[int]) -> None:
        for key in keys:
            self._app.send_task("benchmarks.worker.refresh_one", args=[key])

    def cpu_seconds(self) -> float:
        return float(self._app.send_task("benchmarks.worker.cpu_seconds").get(timeout=SOON))

    def purge(self) -> None:
        self._app.control.purge()


@contextmanager
def worker(origin: str) -> Iterator[Tasks]:
    environment = {**os.environ, "BENCHMARK_ORIGIN": origin, "TEST_POSTGRES_URL": POSTGRES}
    os.environ["BENCHMARK_ORIGIN"] = origin
    tasks = Tasks()
    tasks.purge()
    options = ["--concurrency=1", "--prefetch-multiplier=1", "--loglevel=WARNING", "--without-mingle"]
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.worker", "worker", "--pool=prefork", *options]
    with subprocess.Popen(command, env=environment) as process:  # noqa: S603  # ourselves
        try:
            yield tasks
        finally:
            process.terminate()
            process.wait(SOON)
            tasks.purge()


def warm_up(tasks: Tasks, keys: Sequence[int]) -> None:
    tasks.refresh_in_batches(keys)
    wait_for(keys)


def measure(tasks: Tasks, keys: Sequence[int], send: Callable[[Sequence[int]], None]) -> Mapping[str, float]:
    before = tasks.cpu_seconds()
    with watched() as seen:
        started = time.monotonic()
        send(keys)
        wait_for(keys)
        seconds = time.monotonic() - started
    cpu = tasks.cpu_seconds() - before
    return {"rate": len(keys) / seconds, "cpu": cpu / len(keys) * 1000, "busy": max(seen)}


def wait_for(keys: Sequence[int]) -> None:
    """Until each has been refreshed."""
    renewed = (
        "SELECT count(*) FROM django_sf_oauth_salesforceconnection WHERE generation > 1 AND id BETWEEN %s AND %s"
    )
    with server(DATABASE) as connection:
        deadline = time.monotonic() + SOON
        while time.monotonic() < deadline:
            (count,) = connection.execute(renewed, [min(keys), max(keys)]).fetchone() or (0,)
            if count == len(keys):
                return
            time.sleep(0.02)
    raise TimeoutError("Not all were refreshed.")


@contextmanager
def watched() -> Iterator[list[int]]:
    """How many connections of the worker the server saw in use, again and again."""
    seen, done = [0], threading.Event()

    def watch() -> None:
        in_use = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND state <> 'idle'"
        with server() as connection:
            while not done.wait(0.01):
                (count,) = connection.execute(in_use, [DATABASE]).fetchone() or (0,)
                seen.append(count)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def show(found: Mapping[str, Mapping[str, float]], endpoint: TokenEndpoint) -> int:
    counts: Mapping[str, Any] = endpoint.counts()
    print(f"one prefork child, token endpoint {EXCHANGE * 1000:.0f} ms, rotation, each store committed")
    for way, one in found.items():
        times = one["rate"] / found[NAIVE]["rate"]
        print(
            f"{way:38} {one['rate']:7.0f} refreshes/s   ratio {times:6.1f}"
            f"   {one['cpu']:5.2f} ms of CPU each   ratio {one['cpu'] / found[NAIVE]['cpu']:5.2f}"
            f"   {one['busy']:.0f} connections in use"
        )
    ours, naive = found[OURS], found[NAIVE]
    for what, met in {
        f"≥ {GOAL} refreshes/s": ours["rate"] >= GOAL,
        f"≤ {CPU_GOAL} ms of CPU each": ours["cpu"] <= CPU_GOAL,
    }.items():
        print(f"{OURS}: {what}, if this machine is as fast as that one  {verdict(met)}")
    goals = {
        f"≥ {GOAL / RATE_THERE:.0f} times as many": ours["rate"] >= GOAL / RATE_THERE * naive["rate"],
        f"≤ {CPU_GOAL / CPU_THERE:.2f} of the CPU": ours["cpu"] <= CPU_GOAL / CPU_THERE * naive["cpu"],
        "at most 1 database connection in use": ours["busy"] <= 1,
        "1 token request each, no replay": counts["requests"] == CONNECTIONS + NAIVELY and not counts["replays"],
    }
    for goal, met in goals.items():
        print(f"{OURS}: {goal}  {verdict(met)}")
    return 0 if all(goals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
