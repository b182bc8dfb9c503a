"""The demo's processes: started together, watched, and stopped together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

from .ports import answers

READY_WITHIN = 60.0  # seconds
PATIENCE = 8.0  # seconds for the processes to end by themselves
PAUSE = 0.2  # seconds between two looks
LAST_LINES = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Child:
    """One process. `log` is None when its output goes to the terminal."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path | None

    def obituary(self) -> str:
        """What to tell when it has ended without being asked to."""
        lines = [f"The {self.name} stopped by itself (exit code {self.process.returncode})."]
        if self.log:
            said = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
            lines += [f"The end of {self.log}:", *(f"  {line}" for line in said)]
        return "\n".join(lines)


class ChildEnded(Exception):
    """A process has ended, or never answered. The text says which, and what it said last."""


class Stop:
    """Notes that Ctrl-C was pressed or the process was asked to end, as often as it may come: tox repeats it."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


class Children:
    """The processes of the demo. Each leads a session of its own, so that Ctrl-C reaches the demo alone.

    Args:
        environment: what they get besides this process's own.
        logs: the folder for their output; None for the terminal.
    """

    def __init__(self, *, environment: Mapping[str, str], logs: Path | None) -> None:
        self._environment = {**os.environ, **environment}
        self.logs = logs
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self, name: str, *arguments: str) -> None:
        """Starts a Python program with the arguments."""
        log = self.logs / f"{name}.log" if self.logs else None
        with open(log, "wb") if log else nullcontext() as output:
            process = subprocess.Popen(  # noqa: S603  # our own commands
                [sys.executable, *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if log else None,
                start_new_session=True,
            )
        self._children.append(Child(name=name, process=process, log=log))

    def wait_until_ready(self, places: Sequence[tuple[str, int]], stop: Stop) -> None:
        """Returns when somebody listens at each host and port.

        Raises:
            ChildEnded: a process has ended, or they take too long.
        """
        deadline = time.monotonic() + READY_WITHIN
        while not stop.asked and not all(answers(*place) for place in places):
            self._check()
            if time.monotonic() > deadline:
                raise ChildEnded(f"The demo did not answer within {READY_WITHIN:.0f} seconds.")
            time.sleep(PAUSE)

    def watch(self, stop: Stop) -> None:
        """Returns when the demo is to stop.

        Raises:
            ChildEnded: a process has ended.
        """
        while not stop.asked:
            self._check()
            time.sleep(PAUSE)

    def _check(self) -> None:
        for child in self._children:
            if child.process.poll() is not None:
                raise ChildEnded(child.obituary())

    def stop(self) -> None:
        """Asks all to end; what is left after a while, or was left behind by them, is killed."""
        for child in self._children:
            child.process.terminate()
        deadline = time.monotonic() + PATIENCE
        for child in self._children:
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline - time.monotonic()))
            with suppress(ProcessLookupError):
                os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()
        self._children.clear()
