"""How long 100,000 connections take to come under a new key, and what a SIGKILL half-way costs.

Run with ``python -m benchmarks.rotate_keys``, with a PostgreSQL at ``TEST_POSTGRES_URL``. Beside it, in the
same run: the same through Django's ``bulk_update``, and by one fenced update each. On every way both tokens of
each row are opened and sealed anew.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from itertools import islice
from typing import Any

from . import project
from .postgres import database_of, own_database, server
from .turns import verdict

DATABASE = "sf_oauth_rotate_keys"
ROWS = 100_000
SAMPLE = 3_000  # rows of each turn of the other ways
CHUNK = 500  # rows of a bulk_update, as in most advice
KEYS = [f"the-key-number-{number}-of-this-benchmark-{number * 'x'}" for number in range(3)]  # oldest first
GOAL = 10_000  # rows a second, on a machine where the other ways made so many as this:
THERE = {"bulk_update of 500": 3_700, "one update each": 1_900}
TABLE = "django_sf_oauth_salesforceconnection"
TOKENS = ("access_token", "refresh_token")
OURS, BULK, EACH = "sf_oauth_rotate_keys", "bulk_update of 500", "one update each"


def set_up(newest: int) -> None:
    """A site whose newest key is that one, and which knows all before it."""
    project.set_up(database_of(DATABASE), keys=KEYS[newest::-1])


def work(newest: int) -> None:
    """A process that rotates, and says how far it is after each commit."""
    set_up(newest)
    from django_sf_oauth.services.keys import rotate_keys

    print("ready", flush=True)
    sys.stdin.readline()
    rotation = rotate_keys(tell=lambda done, total: print(done, flush=True))
    print(f"left {rotation.left}, unreadable {len(rotation.unreadable)}", flush=True)


def main() -> int:
    with own_database(DATABASE, lambda: set_up(newest=0)):
        fill()
        before = {way: by_hand(way, newest=0) for way in WAYS}
        rate = ROWS / Process(newest=1).end()
        killed_at = kill_half_way(newest=2)
        left = ROWS - under(KEYS[2])
        seconds = Process(newest=2).end()
        skipped = ROWS - under(KEYS[2])
        after = {way: by_hand(way, newest=2) for way in WAYS}
        fernet = fernet_alone()
    best = {way: max(before[way], after[way]) for way in WAYS}
    return show(rate, best, fernet, killed_at, left, left / seconds, skipped)


class Process:
    """Another process, which rotates."""

    def __init__(self, newest: int) -> None:
        command = [sys.executable, "-m", "benchmarks.rotate_keys", "work", str(newest)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)  # noqa: S603  # ourselves
        assert self.hear() == "ready"
        self._started = time.perf_counter()
        self._process.stdin.write("go\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]

    def hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def end(self) -> float:
        """The seconds that it took."""
        while (line := self.hear()).isdigit():
            pass
        seconds = time.perf_counter() - self._started
        assert line == "left 0, unreadable 0", line
        self._process.communicate()
        return seconds

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()


def kill_half_way(newest: int) -> int:
    """Gives the number of values that it had said were done."""
    process = Process(newest)
    while (done := int(process.hear())) < ROWS:  # there are two values in a row
        pass
    process.kill()
    return done


def fill() -> None:
    from django.contrib.auth import get_user_model

    from django_sf_oauth.models import SalesforceConnection

    user = get_user_model().objects.create(username="sam")
    made = (
        SalesforceConnection(
            user=user,
            organization_id="00D000000000001EAA",
            salesforce_user_id=f"005{number:012d}AAA",
            instance_url="https://acme.my.salesforce.com",
            login_url="https://login.salesforce.com",
            access_token=token("access_token", number),
            refresh_token=token("refresh_token", number),
        )
        for number in range(ROWS)
    )
    while batch := list(islice(made, 2000)):
        SalesforceConnection.objects.bulk_create(batch)
    with server(DATABASE) as connection:
        connection.execute(f"VACUUM ANALYZE {TABLE}")


def token(name: str, number: int) -> str:
    """About as long as Salesforce's are."""
    return f"00D000000000001!{number:096d}" if name == "access_token" else f"5Aep861{number:080d}"


def under(key: str) -> int:
    """How many rows that key alone opens, each with the tokens that it was given."""
    from django.test.utils import override_settings

    from django_sf_oauth.exceptions import TokenUnreadable
    from django_sf_oauth.models import SalesforceConnection

    right = 0
    with override_settings(FERNET_KEYS=[key]):
        for row in SalesforceConnection.objects.iterator(2000):
            number = int(row.salesforce_user_id[3:15])
            with suppress(TokenUnreadable):
                right += all(getattr(row, name).reveal() == token(name, number) for name in TOKENS)
    return right


# The other ways, which write the bytes past the sealed field: it would refuse them


@cache
def plain_model() -> Any:
    from django.db import models

    class Plain(models.Model):  # noqa: DJ008  # nobody prints it
        uuid = models.UUIDField()
        access_token = models.BinaryField()
        refresh_token = models.BinaryField()

        class Meta:
            app_label = "benchmarks"
            managed = False
            db_table = TABLE

    return Plain


def by_hand(way: str, newest: int) -> float:
    """Rows a second; the rows come under that key once more."""
    from django.test.utils import override_settings

    rows = list(plain_model().objects.order_by("pk")[:SAMPLE])
    with override_settings(FERNET_KEYS=KEYS[newest::-1]):
        started = time.perf_counter()
        WAYS[way](rows)
        return SAMPLE / (time.perf_counter() - started)


def resealed(row: Any, name: str) -> bytes:
    from django_sf_oauth.fields import sealed_field, unseal
    from django_sf_oauth.models import SalesforceConnection

    field = sealed_field(SalesforceConnection, name)
    return field.ciphertext(row.uuid, unseal(bytes(getattr(row, name)), field.binding_of(row.uuid)))


def with_bulk_update(rows: list[Any]) -> None:
    for start in range(0, len(rows), CHUNK):
        batch = rows[start : start + CHUNK]
        for row in batch:
            row.access_token, row.refresh_token = (resealed(row, name) for name in TOKENS)
        plain_model().objects.bulk_update(batch, TOKENS)


def with_one_update_each(rows: list[Any]) -> None:
    for row in rows:
        fence = {name: getattr(row, name) for name in TOKENS}
        values = {name: resealed(row, name) for name in TOKENS}
        assert plain_model().objects.filter(pk=row.pk, **fence).update(**values)


def fernet_alone() -> float:
    """Rows a second of one core that opens and seals the tokens, and does nothing else."""
    from django_sf_oauth.keyring import newest_key

    _, key = newest_key()
    values = [key.encrypt(token(name, 0).encode()) for name in TOKENS]
    started = time.perf_counter()
    for _ in range(SAMPLE):
        for value in values:
            key.encrypt(key.decrypt(value))
    return SAMPLE / (time.perf_counter() - started)


WAYS: Mapping[str, Callable[[list[Any]], None]] = {BULK: with_bulk_update, EACH: with_one_update_each}


def show(
    rate: float,
    others: Mapping[str, float],
    fernet: float,
    killed_at: int,
    left: int,
    resumed_rate: float,
    skipped: int,
) -> int:
    print(f"{ROWS:,} rows with two tokens each")
    print(f"{OURS:24} {rate:8,.0f} rows/s")
    met = [skipped == 0, 0 < left < ROWS]
    for way, other in others.items():
        goal, times = GOAL / THERE[way], rate / other
        met.append(times >= goal)
        print(f"{way:24} {other:8,.0f} rows/s   ratio {times:4.1f}   goal ≥ {goal:.1f}  {verdict(times >= goal)}")
    print(f"{'Fernet alone, one core':24} {fernet:8,.0f} rows/s   ours is {rate / fernet:4.2f} of it")
    print(f"killed after {killed_at:,} values: {left:,} rows were left; resumed at {resumed_rate:,.0f} rows/s")
    print(f"rows that the new key alone does not open, or not rightly: {skipped}  {verdict(skipped == 0)}")
    print(f"≥ {GOAL:,} rows/s, if this machine is as fast as that one  {verdict(rate >= GOAL)}")
    return 0 if all(met) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(int(sys.argv[2]))
    else:
        sys.exit(main())
