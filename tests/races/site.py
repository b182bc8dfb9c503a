"""A fake Salesforce on a real port, a database that other processes reach, and those processes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import connection

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.testing import FakeSalesforce
from django_sf_oauth.testing.from_settings import fake_from_settings
from django_sf_oauth.testing.server import FakeServer
from tests.fleet import connect_one

__all__ = ["SOON", "Site", "Worker", "end_the_lease", "open_site", "reload", "wait_for"]

SOON = 60.0  # seconds; nothing here takes so long, but a machine may be busy


@dataclass
class Site:
    """What all processes of a site share.

    Attributes:
        origin: of the fake, which is its login host and its instance.
        said: whatever its processes have written, at DEBUG, once they have ended.
    """

    fake: FakeSalesforce
    origin: str
    said: list[str] = field(default_factory=list)

    def connect(self, **values: Any) -> SalesforceConnection:
        """A connection whose access token has just expired."""
        row = connect_one(self.fake, login_url=self.origin, **values)
        self.fake.expire_access_tokens()
        return row

    @property
    def asked(self) -> Counter[str]:
        """The token requests, by how Salesforce answered."""
        return Counter(exchange.outcome for exchange in self.fake.journal.token_requests())

    @contextmanager
    def workers(
        self, row: SalesforceConnection, *, processes: int, threads: int, **task: Any
    ) -> Iterator[list[Worker]]:
        """Processes that have loaded the connection, and wait to be told to go.

        `task`: see `tests.races.worker`.
        """
        with self.worker_each([row] * processes, threads=threads, **task) as workers:
            yield workers

    @contextmanager
    def worker_each(
        self,
        rows: list[SalesforceConnection],
        *,
        module: str = "tests.races.worker",
        each: list[dict[str, Any]] | None = None,
        database: dict[str, Any] | None = None,
        **task: Any,
    ) -> Iterator[list[Worker]]:
        """A process for each of the connections.

        `each` adds to the task of one, `task` to that of all; `database` is what differs from this process's own.
        """
        shared = {
            "threads": 1,
            "database": {"NAME": connection.settings_dict["NAME"], **(database or {})},
            "salesforce": settings.SALESFORCE_OAUTH,
            "use_tz": settings.USE_TZ,
            **task,
        }
        with ExitStack() as stack:
            workers = [  # all at once, for each takes a while
                stack.enter_context(self._started(module, {**shared, "connection": row.pk, **own}))
                for row, own in zip(rows, each or [{}] * len(rows), strict=True)
            ]
            for worker in workers:
                worker.await_ready()
            yield workers

    @contextmanager
    def _started(self, module: str, task: dict[str, Any]) -> Iterator[Worker]:
        worker = Worker(module, json.dumps(task, default=str))
        try:
            yield worker
        finally:
            self.said.append(worker.end())

    def race(self, row: SalesforceConnection, *, processes: int, threads: int, **task: Any) -> list[str]:
        """How each call fared, of so many processes and threads at once."""
        with self.workers(row, processes=processes, threads=threads, **task) as workers:
            for worker in workers:
                worker.go()
            return [how for worker in workers for how in worker.fared()]


class Worker:
    def __init__(self, module: str, task: str) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # `end` closes it; a pipe would fill up
        self._process = subprocess.Popen(  # noqa: S603  # our own interpreter, our own module
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._said: list[str] = []
        self._write(task)

    def await_ready(self) -> None:
        self._expect("ready")

    def go(self) -> None:
        self._write("go")

    def refresh(self) -> None:
        self._write("refresh")

    def stop(self) -> None:
        """Lets it go until it has claimed a batch (see `tests.races.sweeper`)."""
        self._write("stop")

    def await_stop(self, step: str) -> None:
        """Until it has come to a step that its task tells it to stop at."""
        self._expect(f"at {step}")

    def go_on(self) -> None:
        self._write("on")

    def fared(self) -> list[str]:
        how: list[str] = json.loads(self.hear())
        return how

    def kill(self) -> None:
        """As the kernel does when memory runs out: nothing is cleaned up."""
        self._process.kill()
        self._process.wait()

    def end(self) -> str:
        """Lets it end by itself if it has not been killed, and returns all that it wrote."""
        self._stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(SOON)
        self._process.kill()
        self._process.wait()
        with self._stdout, self._errors:
            return "".join([*self._said, self._stdout.read(), self._logged()])

    def _write(self, line: str) -> None:
        self._stdin.write(f"{line}\n")
        self._stdin.flush()

    def _expect(self, line: str) -> None:
        heard = self.hear()
        assert heard == line, heard

    def hear(self) -> str:
        """The next line that it says."""
        self._said.append(line := self._stdout.readline())
        assert line, self._logged()
        return line.strip()

    def _logged(self) -> str:
        self._errors.seek(0)
        return self._errors.read()


@contextmanager
def open_site(settings: Any) -> Iterator[Site]:
    """A fake Salesforce on a port, which the settings trust. `settings`: pytest-django's."""
    with FakeServer(fake_from_settings()) as server:
        settings.SALESFORCE_OAUTH = {
            **settings.SALESFORCE_OAUTH,
            "TRUSTED_HOSTS": [server.url.partition("://")[2]],
            "TIMEOUTS": {"wait": 30},  # seconds; a busy machine is not what is tested
        }
        yield Site(fake=server.fake, origin=server.url)


def reload(row: SalesforceConnection) -> SalesforceConnection:
    return SalesforceConnection.objects.get(pk=row.pk)


def end_the_lease() -> None:
    """Stands for the 90 seconds that it lasts."""
    SalesforceConnection.objects.exclude(lease_owner=None).update(lease_until=1)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)
