"""The processes of one site."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

__all__ = ["DriverFailed", "Team", "Worker", "gathered"]

ROOT = Path(__file__).parents[2]
PATIENCE = 60  # seconds for whatever a process is told to do
ENDING = 5  # seconds for it to end by itself


class DriverFailed(RuntimeError):
    """A driver did something else than it was told to, so that nothing was measured."""


class Worker:
    """One process.

    Args:
        python: the interpreter that has the package.
        task: what `drivers.worker.Site` holds.
        log: takes what the process prints.
    """

    def __init__(self, python: Path, driver: str, task: dict[str, Any], log: IO[str]) -> None:
        self._log = log
        self._process = subprocess.Popen(  # noqa: S603  # one of our drivers
            [python, "-m", f"benchmarks.twenty_at_once.drivers.{driver}"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end it
        )
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: PT018  # PIPE
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self.tell(task)

    def tell(self, message: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # the answer that does not come says more
            self._stdin.write(json.dumps(message, default=str) + "\n")
            self._stdin.flush()

    def answer(self) -> Any:
        """
        Raises:
            DriverFailed: the process ended, or said nothing in time.
        """
        alarm = threading.Timer(PATIENCE, self._process.kill)
        alarm.start()
        try:
            line = self._stdout.readline()
        finally:
            alarm.cancel()
        if not line:
            self._log.seek(0)
            raise DriverFailed(f"No answer within {PATIENCE} s, or none at all:\n{self._log.read()[-2000:]}")
        return json.loads(line)

    def do(self, what: str, **values: Any) -> Any:
        self.tell({"do": what, **values})
        return self.answer()

    def end(self) -> None:
        """It ends by itself when nothing more is to come; if not, it is killed."""
        with suppress(BrokenPipeError):
            self._stdin.close()
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(ENDING)
        finally:
            self._process.kill()
            self._process.wait()
            self._stdout.close()


class Team:
    """Several processes with one database."""

    def __init__(self, workers: list[Worker]) -> None:
        self.workers = workers

    @property
    def first(self) -> Worker:
        return self.workers[0]

    def at_once(self, key: int, *, processes: int, threads: int) -> list[str]:
        """How each caller fared, of so many at once."""
        chosen = self.workers[:processes]
        for worker in chosen:
            worker.do("gather", key=key, callers=threads)
        for worker in chosen:
            worker.tell({"do": "go"})
        return [how for worker in chosen for how in worker.answer()]

    def alone(self, key: int) -> str:
        """How one caller fared that has Salesforce to itself."""
        (how,) = self.at_once(key, processes=1, threads=1)
        return how


@contextmanager
def gathered(size: int, python: Path, driver: str, task: dict[str, Any]) -> Iterator[Team]:
    """So many processes that are ready, with tables in their database."""
    with ExitStack() as stack:
        workers = []
        for _number in range(size):
            log = stack.enter_context(tempfile.TemporaryFile("w+"))
            worker = Worker(python, driver, task, log)
            stack.callback(worker.end)
            workers.append(worker)
        for worker in workers:
            worker.answer()
        workers[0].do("tables")
        yield Team(workers)
