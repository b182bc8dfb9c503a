"""The worst day: all connections of a site are revoked. How soon nothing local works, and how fast the rest goes.

Run with ``python -m benchmarks.revoke_all``, with a PostgreSQL at ``TEST_POSTGRES_URL``. Salesforce takes 100 ms.
The command is killed half-way, and begun again. Beside it, in the same run, the loop that one would write:
``connection.disconnect()`` for each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .postgres import POSTGRES, server
from .stampede import database, set_up
from .stampede_ways import DATABASE
from .token_endpoint import TokenEndpoint, first_token, serving
from .turns import verdict

if TYPE_CHECKING:
    from django_sf_oauth.models import SalesforceConnection

CONNECTIONS = 10_000
NAIVELY = 50  # of them; all would take a quarter of an hour
EXCHANGE = 0.1  # seconds that Salesforce takes
SOON = 600.0  # seconds
FASTER, SOONER, EMPTIED = 8.0, 100.0, 25.0  # goals: times of the loop
FELT_WITHIN = 5.0  # seconds
TABLE = "django_sf_oauth_salesforceconnection"
OUTBOX = "django_sf_oauth_pendingrevocation"
EVENTS = "django_sf_oauth_connectionevent"
HOLDS = "django_sf_oauth_hold"


def main() -> int:
    with serving(EXCHANGE) as endpoint, database(endpoint.url):
        connect(endpoint.url, NAIVELY)
        naive = loop()
        connect(endpoint.url, CONNECTIONS)
        onlooker = a_connection()  # as any process of the site holds some, with their tokens
        with revoking(endpoint.url) as process:
            started = time.monotonic()
            stopped = until(lambda: count(HOLDS) == 1) - started
            felt = until(is_refused(onlooker)) - started
            emptied = until(lambda: count(TABLE, "status <> 'disconnected'") == 0) - started
            half = until(lambda: endpoint.counts()["revoked"] >= NAIVELY + CONNECTIONS // 2)
            process.kill()
        rate = (endpoint.counts()["revoked"] - NAIVELY) / (half - started - emptied)
        with revoking(endpoint.url) as process:
            process.wait(SOON)
        found = {"naive": naive, "stopped": stopped, "felt": felt, "emptied": emptied, "rate": rate}
        return show(found, endpoint)


def connect(origin: str, number: int) -> None:
    """So many connections, each of a user of its own."""
    from django.contrib.auth import get_user_model

    from django_sf_oauth.models import SalesforceConnection

    model = get_user_model()
    users = model.objects.bulk_create(model(username=f"sam{number}-{serial}") for serial in range(number))
    rows = [
        SalesforceConnection(
            user=user,
            organization_id="00D000000000001EAA",
            salesforce_user_id=f"005{user.pk:012d}AAA",
            instance_url=origin,
            login_url=origin,
            access_token="alive",  # noqa: S106  # no secret
            refresh_token=first_token(f"family{user.pk}"),
            is_default=True,
        )
        for user in users
    ]
    SalesforceConnection.objects.bulk_create(rows, batch_size=500)


def loop() -> float:
    """Connections a second that the naive way disconnects."""
    from django_sf_oauth.models import SalesforceConnection

    started = time.monotonic()
    for connection in SalesforceConnection.objects.connected():
        connection.disconnect()
    return NAIVELY / (time.monotonic() - started)


def a_connection() -> SalesforceConnection:
    from django_sf_oauth.models import SalesforceConnection

    return SalesforceConnection.objects.active().latest("pk")


def is_refused(connection: SalesforceConnection) -> Callable[[], bool]:
    from django_sf_oauth.exceptions import TemporarilyUnavailable

    def refused() -> bool:
        try:
            connection.bearer()
        except TemporarilyUnavailable:
            return True
        return False

    return refused


@contextmanager
def revoking(origin: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command, in a process of its own."""
    environment = {**os.environ, "BENCHMARK_ORIGIN": origin, "TEST_POSTGRES_URL": POSTGRES}
    command = [sys.executable, "-m", "benchmarks.revoke_all", "command"]
    with subprocess.Popen(command, env=environment) as process:  # noqa: S603  # ourselves
        yield process


def run_command() -> None:
    from django.core.management import call_command

    set_up(os.environ["BENCHMARK_ORIGIN"], pool=False, REVOKE_RATE=None)
    call_command("sf_oauth_revoke", "--all", "--yes", "--json")


def count(table: str, condition: str = "true") -> int:
    with server(DATABASE) as connection:
        (number,) = connection.execute(f"SELECT count(*) FROM {table} WHERE {condition}").fetchone() or (0,)  # noqa: S608  # constants
    return int(number)


def until(condition: Callable[[], bool]) -> float:
    """The moment at which it came true."""
    deadline = time.monotonic() + SOON
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("It did not come true.")
        time.sleep(0.1)
    return time.monotonic()


def show(found: Mapping[str, float], endpoint: TokenEndpoint) -> int:
    counts = endpoint.counts()
    naive, rate = found["naive"], found["rate"]
    loop_takes = CONNECTIONS / naive
    sooner, emptied = loop_takes / found["felt"], loop_takes / found["emptied"]
    print(f"{CONNECTIONS} connections, Salesforce takes {EXCHANGE * 1000:.0f} ms, no REVOKE_RATE")
    print(f"{'the loop of disconnect()':26} {naive:7.1f}/s   all unusable after {loop_takes:7.1f} s")
    print(
        f"{'sf_oauth_revoke --all':26} {rate:7.1f}/s   all unusable after {found['felt']:7.1f} s"
        f"   no token left after {found['emptied']:.1f} s"
        f"   ratios {rate / naive:.1f}, {sooner:.0f} and {emptied:.0f}"
    )
    doubled = counts["revoked_again"]
    ends = [count(EVENTS, f"kind = '{kind}'") for kind in ("disconnected", "revoked")]
    print(f"killed half-way, begun again: {json.dumps(dict(counts))}")
    goals = {
        f"≥ {FASTER:.0f} times as many a second": rate / naive >= FASTER,
        f"unusable ≥ {SOONER:.0f} times as soon": sooner >= SOONER,
        f"no token left ≥ {EMPTIED:.0f} times as soon": emptied >= EMPTIED,
        f"felt elsewhere ≤ {FELT_WITHIN:.0f} s after it was set": found["felt"] - found["stopped"] <= FELT_WITHIN,
        "none skipped": counts["revoked"] == CONNECTIONS + NAIVELY and count(OUTBOX) == 0,
        "each told once": ends == [CONNECTIONS + NAIVELY] * 2,
        "none doubled but what was not written down (66)": doubled <= 66,
        "nothing stays stopped": count(HOLDS) == 0,
    }
    for goal, met in goals.items():
        print(f"  {goal}  {verdict(met)}")
    return 0 if all(goals.values()) else 1


if __name__ == "__main__":
    if sys.argv[1:] == ["command"]:
        run_command()
    else:
        sys.exit(main())
