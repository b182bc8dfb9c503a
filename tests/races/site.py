"""A fake Salesforce on a real port, a database that other processes reach, and those processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.testing import FakeSalesforce
from tests.fleet import connect_one

__all__ = ["SOON", "Site", "Worker"]

SOON = 60.0  # seconds; nothing here takes so long, but a machine may be busy


@dataclass
class Site:
    """What all processes of a site share.

    Attributes:
        origin: of the fake, which is its login host and its instance.
    """

    fake: FakeSalesforce
    origin: str

    def connect(self, **values: Any) -> SalesforceConnection:
        """A connection whose access token has just expired."""
        row = connect_one(self.fake, login_url=self.origin, **values)
        self.fake.expire_access_tokens()
        return row

    @contextmanager
    def workers(self, row: SalesforceConnection, *, processes: int, threads: int) -> Iterator[list[Worker]]:
        """Processes that have loaded the connection, and wait to be told to go."""
        task = {
            "connection": row.pk,
            "threads": threads,
            "database": connection.settings_dict["NAME"],
            "salesforce": settings.SALESFORCE_OAUTH,
        }
        with ExitStack() as stack:
            workers = [stack.enter_context(started(json.dumps(task, default=str))) for _ in range(processes)]
            for worker in workers:
                worker.await_ready()
            yield workers

    def race(self, row: SalesforceConnection, *, processes: int, threads: int) -> list[str]:
        """How each call fared, of so many processes and threads at once."""
        with self.workers(row, processes=processes, threads=threads) as workers:
            for worker in workers:
                worker.go()
            return [how for worker in workers for how in worker.fared()]


@contextmanager
def started(task: str) -> Iterator[Worker]:
    worker = Worker(task)
    try:
        yield worker
    finally:
        worker.end()


class Worker:
    def __init__(self, task: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.races.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._write(task)

    def await_ready(self) -> None:
        assert self._read() == "ready"

    def go(self) -> None:
        self._write("go")

    def fared(self) -> list[str]:
        how: list[str] = json.loads(self._read())
        return how

    def kill(self) -> None:
        """As the kernel does when memory runs out: nothing is cleaned up."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Lets it end by itself if it has not been killed."""
        self._stdin.close()
        self._stdout.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(SOON)
        self._process.kill()
        self._process.wait()

    def _write(self, line: str) -> None:
        self._stdin.write(f"{line}\n")
        self._stdin.flush()

    def _read(self) -> str:
        return self._stdout.readline().strip()
