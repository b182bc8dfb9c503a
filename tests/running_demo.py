"""The demo as its users start it: a process of its own, on free ports, with a folder of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MANAGE", "Demo", "demo_environment", "free_port", "is_free", "running_demo"]

MANAGE = Path(__file__).parent.parent / "example_project" / "manage.py"
WITHIN = 90.0  # seconds, on a busy machine


@dataclass(frozen=True, kw_only=True, slots=True)
class Demo:
    process: subprocess.Popen[bytes]
    output: Path
    port: int
    fake_port: int

    @property
    def site(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def panel(self) -> str:
        return f"http://127.0.0.1:{self.fake_port}/__panel__/"

    def said(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def wait_until_it_says(self, text: str) -> None:
        deadline = time.monotonic() + WITHIN
        while text not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)

    def stop(self, number: int = signal.SIGINT) -> int:
        """Returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(WITHIN)


@contextmanager
def running_demo(var: Path, *arguments: str, **environment: str) -> Iterator[Demo]:
    """Starts the demo, and stops it in any case."""
    port, fake_port = free_port(), free_port()
    output = var / "output.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603  # our own command
            [sys.executable, MANAGE, "demo", "--port", str(port), "--fake-port", str(fake_port), *arguments],
            env={**demo_environment(var), **environment},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    demo = Demo(process=process, output=output, port=port, fake_port=fake_port)
    try:
        yield demo
    finally:
        demo.stop(signal.SIGTERM)


def demo_environment(var: Path) -> dict[str, str]:
    """This process's own, without the settings of the tests and without a Salesforce app."""
    ours = ("DJANGO_", "SALESFORCE_", "FERNET_KEYS", "CELERY_BROKER_URL", "DATABASE_URL")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**inherited, "EXAMPLE_VAR": str(var)}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
