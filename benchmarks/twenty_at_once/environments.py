"""A virtual environment for each peer, with the versions of ``constraints.txt``."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from .peers import OURS, Peer

__all__ = ["Environments", "version_of"]

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
BESIDE = ("django", "psycopg[binary]", "requests")
LONGEST_INSTALL = 300  # seconds
# Somebody else's constraints, such as tox's, are not for the peers.
NOT_OURS = ("UV_CONSTRAINT", "PIP_CONSTRAINT", "PYTHONPATH", "VIRTUAL_ENV")


class Environments:
    """Makes each environment when it is first asked for.

    Args:
        folder: where they are made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Path] = {}

    def python(self, peer: Peer) -> Path:
        """The interpreter that has the package; for ours, the one that runs this.

        Raises:
            subprocess.SubprocessError: the environment could not be made in time, or at all.
        """
        if peer.package == OURS.package:
            return Path(sys.executable)
        if peer.package not in self._made:
            self._made[peer.package] = self._make(peer)
        return self._made[peer.package]

    def _make(self, peer: Peer) -> Path:
        folder = self._folder / peer.package
        python = folder / "bin" / "python"
        _run(sys.executable, "-m", "venv", str(folder))
        wanted = (peer.package + peer.extras, *BESIDE)
        _run(str(python), "-m", "pip", "install", "-qq", "--constraint", str(CONSTRAINTS), *wanted)
        return python


def _run(*command: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    process = subprocess.Popen(  # noqa: S603  # made above
        command, env=environment, stdout=sys.stderr, start_new_session=True
    )
    try:
        status = process.wait(LONGEST_INSTALL)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)  # with what it has started, which would go on writing
        process.wait()
        raise
    if status:
        raise subprocess.CalledProcessError(status, command)


def version_of(peer: Peer) -> str:
    """The pinned version."""
    pinned = re.search(rf"^{re.escape(peer.package)}==(\S+)", CONSTRAINTS.read_text(), re.MULTILINE)
    if pinned is None:
        raise LookupError(f"{CONSTRAINTS.name} does not pin {peer.package}")
    return pinned[1]
