"""Workers and beats as operators start them, which can be killed, paused and asked to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

from tests.races.site import SOON

__all__ = ["Process"]


class Process:
    """``celery`` with some arguments, and whatever it forks."""

    def __init__(self, *arguments: str, site: str) -> None:
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115  # `end` closes it
        self._process = subprocess.Popen(  # noqa: S603  # our own interpreter
            [sys.executable, "-W", "ignore", "-m", "celery", "-A", "tests.brokers.app", *arguments],
            env={**os.environ, "SITE": site},
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def await_word(self, word: str) -> None:
        """Until it has written a word."""
        until = time.monotonic() + SOON
        while word not in self.said():
            assert self._process.poll() is None, self.said()
            assert time.monotonic() < until, self.said()
            time.sleep(0.05)

    def said(self) -> str:
        self._output.seek(0)
        return self._output.read()

    def kill(self) -> None:
        """All of it at once, as the kernel does, or whoever pulls the plug."""
        self.send(signal.SIGKILL)
        self._process.wait()

    def send(self, number: int) -> None:
        os.killpg(self._process.pid, number)

    def end(self) -> str:
        """Lets it finish what it has begun, and returns all that it wrote."""
        self._process.terminate()
        try:
            self._process.wait(SOON)
        finally:
            with suppress(ProcessLookupError):
                self.kill()
        with self._output:
            return self.said()
