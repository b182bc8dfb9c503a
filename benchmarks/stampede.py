"""Thirty-two callers in eight processes meet one expired token: how long the last of them waits.

Run with ``python -m benchmarks.stampede``, with a PostgreSQL at ``TEST_POSTGRES_URL`` and a Redis at
``TEST_REDIS_URL``. Each round lets every way have its turn. The floor is what one token request takes alone.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

from . import project
from .postgres import database_of, own_database, server
from .stampede_ways import BY_HAND, DATABASE, EXCHANGE, OURS, REDIS_LOCK, ROW_LOCK, SOON, ask, ways_of
from .turns import verdict

if TYPE_CHECKING:
    from django_sf_oauth.models import SalesforceConnection

PROCESSES, THREADS = 8, 4
ROUNDS = 15

GOAL = 1.06  # of the floor, on a machine where these took so much of it as this:
ROW_LOCK_THERE, BY_HAND_THERE = 1.12, 1.05
MOST = 1.5  # of the floor, however slow this machine is
CONNECTION_GOAL = 0.02  # of the connection time of a row lock


def set_up(origin: str, *, pool: bool = True, **app: Any) -> None:
    from django.conf import settings

    if settings.configured:
        return
    pooled = {"pool": {"min_size": THREADS, "max_size": 2 * THREADS}} if pool else {}
    project.set_up(
        database_of(DATABASE, application_name=DATABASE, **pooled),
        LOGIN_URL=origin,
        TRUSTED_HOSTS=[origin.partition("://")[2]],
        TIMEOUTS={"wait": SOON},
        **app,
    )


# One process of a site


class OpenTime:
    """How long database connections were open in this process, in seconds, all together."""

    def __init__(self) -> None:
        from django.db.backends.postgresql.base import DatabaseWrapper
        from django.db.backends.signals import connection_created

        self.seconds = 0.0
        self._opened: dict[int, float] = {}
        connection_created.connect(self._opens, weak=False)
        close = DatabaseWrapper._close  # type: ignore[attr-defined]  # what all ways of closing end in

        def closes(wrapper: Any) -> None:
            self.seconds += time.monotonic() - self._opened.pop(id(wrapper), time.monotonic())
            close(wrapper)

        DatabaseWrapper._close = closes  # type: ignore[attr-defined]

    def _opens(self, connection: Any, **kwargs: Any) -> None:
        self._opened[id(connection)] = time.monotonic()


def work(origin: str, pk: int) -> None:
    """Reads its rows and says so; answers the next line, the name of a way, with how that went; and so on.

    A line that is empty comes when all processes have ended a way: who reads meanwhile would take their time.
    """
    set_up(origin)
    ways = ways_of(origin, pk)
    open_time = OpenTime()
    with ThreadPoolExecutor(THREADS) as threads:
        rows = load(pk)
        say("ready")
        for line in sys.stdin:
            if way := line.strip():
                before = open_time.seconds
                ended = list(threads.map(timed(ways[way]), rows))
                say(json.dumps({"last": max(ended), "open": open_time.seconds - before}))
            else:
                rows = load(pk)
                say("ready")


def load(pk: int) -> list[SalesforceConnection]:
    from django.db import connection

    from django_sf_oauth.models import SalesforceConnection

    # With its user, as `request.salesforce` has it: whether they are active is asked before each refresh.
    rows = [SalesforceConnection.objects.select_related("user").get(pk=pk) for _ in range(THREADS)]
    connection.close()
    return rows


def timed(way: Callable[[SalesforceConnection], None]) -> Callable[[SalesforceConnection], float]:
    def run(row: SalesforceConnection) -> float:
        from django.db import connection

        way(row)
        ended = time.monotonic()
        connection.close()
        return ended

    return run


def say(text: str) -> None:
    print(text, flush=True)


# The benchmark


class Process:
    def __init__(self, origin: str, pk: int) -> None:
        command = [sys.executable, "-m", "benchmarks.stampede", "work", origin, str(pk)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)  # noqa: S603  # ourselves

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


class Watcher:
    """Sees how many connections the workers hold while Salesforce is asked, from a connection of its own."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.most = 0

    def watch(self, started: float) -> None:
        time.sleep(0.4 * EXCHANGE)  # as long as they begin, they need the processor for themselves
        while time.monotonic() - started < 0.9 * EXCHANGE:
            count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND state <> 'idle'"
            found = self._connection.execute(count, [DATABASE]).fetchone()
            self.most = max(self.most, found[0])
            time.sleep(0.01)


def main() -> int:
    from django_sf_oauth.testing import FakeSalesforce
    from django_sf_oauth.testing.server import FakeServer

    fake = FakeSalesforce(client_id="benchmark", client_secret="benchmark")  # noqa: S106  # of nothing
    fake.rotation = False  # so that the plain ways need not seal what they store
    with FakeServer(fake) as server, database(server.url), ExitStack() as stack:
        row = connect(fake, server.url)
        workers = [Process(server.url, row.pk) for _ in range(PROCESSES)]
        for worker in workers:
            stack.callback(worker.end)
        expect_ready(workers)
        fake.delay = EXCHANGE
        return show(*measure(fake, server.url, row, workers))


def expect_ready(workers: list[Process]) -> None:
    for worker in workers:
        assert worker.hear() == "ready"


def measure(
    fake: Any, origin: str, row: SalesforceConnection, workers: list[Process]
) -> tuple[float, dict[str, list[Mapping[str, float]]]]:
    import requests

    assert row.refresh_token is not None
    http, token = requests.Session(), row.refresh_token.reveal()
    ask(http, origin, token)
    floors: list[float] = []
    found: dict[str, list[Mapping[str, float]]] = {way: [] for way in (OURS, BY_HAND, ROW_LOCK, REDIS_LOCK)}
    for number in range(ROUNDS + 1):
        started = time.monotonic()
        ask(http, origin, token)
        floors.append(time.monotonic() - started)
        for way, rounds in found.items():
            result = one_round(way, fake, workers)
            if number:  # the first one warms everybody up
                rounds.append(result)
    http.close()
    return statistics.median(floors), found


def one_round(way: str, fake: Any, workers: list[Process]) -> Mapping[str, float]:
    fake.expire_access_tokens()
    requests_before = fake.token_requests
    with server() as connection:
        watcher = Watcher(connection)
        started = time.monotonic()
        watching = threading.Thread(target=watcher.watch, args=[started])
        watching.start()
        for worker in workers:
            worker.say(way)
        told = [json.loads(worker.hear()) for worker in workers]
        watching.join()
    for worker in workers:
        worker.say("")
    expect_ready(workers)
    time.sleep(0.1)  # what they closed is closed
    return {
        "seconds": max(one["last"] for one in told) - started,
        "open": sum(one["open"] for one in told),
        "requests": fake.token_requests - requests_before,
        "held": watcher.most,
    }


def show(floor: float, found: Mapping[str, list[Mapping[str, float]]]) -> int:
    print(f"{PROCESSES} processes x {THREADS} threads, one expired token, token endpoint {EXCHANGE * 1000:.0f} ms")
    print(f"floor: one token request alone {floor * 1000:.0f} ms\n")
    print(f"{'':26} {'ratio':>6} {'requests':>9} {'held during HTTP':>17} {'connection-ms':>14}")
    medians = {}
    for way, rounds in found.items():
        median = {what: statistics.median(one[what] for one in rounds) for what in rounds[0]}
        requests, held = (max(one[what] for one in rounds) for what in ("requests", "held"))
        medians[way] = median
        print(
            f"{way:26} {median['seconds'] / floor:6.2f} {requests:9.0f} {held:17.0f} {median['open'] * 1000:14.0f}"
        )
    ours = medians[OURS]
    extra, by_hand, by_lock = (max(medians[way]["seconds"] / floor - 1, 1e-6) for way in (OURS, BY_HAND, ROW_LOCK))
    most_by_hand, most_by_lock = ((GOAL - 1) / (there - 1) for there in (BY_HAND_THERE, ROW_LOCK_THERE))
    print(f"{OURS}: ratio ≤ {GOAL}, if this machine is as fast as that one  {verdict(extra <= GOAL - 1)}")
    goals = {
        f"above the floor {extra / by_hand:.2f} of what is done by hand, ≤ {most_by_hand:.2f}": (
            extra <= most_by_hand * by_hand
        ),
        f"above the floor {extra / by_lock:.2f} of what a row lock is, ≤ {most_by_lock:.2f}": (
            extra <= most_by_lock * by_lock
        ),
        f"ratio ≤ {MOST}": extra <= MOST - 1,
        "1 request": all(one["requests"] == 1 for one in found[OURS]),
        "0 held during HTTP": all(one["held"] == 0 for one in found[OURS]),
        f"connection-ms ≤ {CONNECTION_GOAL} of a row lock's": ours["open"]
        <= CONNECTION_GOAL * medians[ROW_LOCK]["open"],
    }
    for goal, met in goals.items():
        print(f"{OURS}: {goal}  {verdict(met)}")
    return 0 if all(goals.values()) else 1


def database(origin: str) -> AbstractContextManager[None]:
    """A database of its own, gone afterwards."""
    return own_database(DATABASE, lambda: set_up(origin))


def connect(fake: Any, origin: str) -> SalesforceConnection:
    from django.contrib.auth import get_user_model

    from django_sf_oauth.models import SalesforceConnection

    tokens = fake.issue(fake.add_user("sam@acme-outdoor.example"))
    row = SalesforceConnection.objects.create(
        user=get_user_model().objects.create(username="sam"),
        organization_id=fake.org.id,
        salesforce_user_id="005000000000001AAA",
        instance_url=origin,
        login_url=origin,
        access_token=tokens["access_token"],
        refresh_token=tokens["refresh_token"],
    )
    return SalesforceConnection.objects.get(pk=row.pk)


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(main())
