"""A token endpoint fast enough to measure and to break others by, in a process of its own.

It does what matters of Salesforce and nothing else: each use of a refresh token rotates it, a second request in
flight for one token is refused, and a replay kills the family. The token is rotated when its request arrives, so
that whoever dies before storing the answer has lost it. A family is known from its first request on. Revoked, it
is dead; to revoke it again is refused, as Salesforce does.

Run as a program it is that process: ``python token_endpoint.py SECONDS`` answers after so many seconds, prints the
port that it listens on, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from subprocess import PIPE
from urllib.request import urlopen

__all__ = ["TokenEndpoint", "first_token", "serving"]

HEAD = "HTTP/1.1 {}\r\nContent-Type: application/json;charset=UTF-8\r\nContent-Length: {}\r\n\r\n"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
TOKEN = re.compile(rb"token=5Aep861\.([\w-]+)\.(\d+)")
COUNTED = ("requests", "renewed", "doubled", "replays", "dead", "unheard", "revoked", "revoked_again")
REVOKE = "/services/oauth2/revoke"
BUSY, DEAD = "token request is already being processed", "expired access/refresh token"


def first_token(family: str) -> str:
    """The refresh token of a grant that was never refreshed. `family`: letters, digits, ``_`` and ``-``."""
    return _token(family, 0)


def _token(family: str, serial: int) -> str:
    return f"5Aep861.{family}.{serial:060d}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenEndpoint:
    """A running one, seen from outside. `url` is the login URL of its connections."""

    url: str

    def counts(self) -> Mapping[str, int]:
        """All that came since it started.

        ``requests``, of these ``renewed``, ``doubled`` (another was in flight), ``replays`` and ``dead`` (of a
        family that a replay had killed); ``unheard`` (renewed, and the client was gone when the answer came);
        ``revoked`` and ``revoked_again`` (which are none of the ``requests``); ``most`` (requests for one family)
        and ``flying`` (in flight now).
        """
        counts: Mapping[str, int] = self._read("counts")
        return counts

    def serials(self) -> Mapping[str, int]:
        """How often each family was rotated."""
        serials: Mapping[str, int] = self._read("serials")
        return serials

    def _read(self, what: str) -> Mapping[str, int]:
        with urlopen(f"{self.url}/{what}", timeout=30) as answer:  # noqa: S310  # our own http URL
            found: Mapping[str, int] = json.load(answer)
        return found


@contextmanager
def serving(delay: float = 0.1) -> Iterator[TokenEndpoint]:
    """Starts one that answers after `delay` seconds."""
    # Neither development mode, which makes asyncio slow, nor coverage: it is no part of what is measured.
    command = [sys.executable, "-I", "-S", __file__, str(delay)]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:  # noqa: S603  # this file
        port = process.stdout.readline().strip() if process.stdout else ""
        yield TokenEndpoint(url=f"http://127.0.0.1:{port}")


# The process


@dataclass(kw_only=True, slots=True)
class Family:
    serial: int = 0
    requests: int = 0
    flying: bool = False
    dead: bool = False
    revoked: bool = False


@dataclass(kw_only=True, slots=True)
class World:
    delay: float
    families: dict[str, Family] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def spend(self, name: str, serial: int) -> tuple[Family, str]:
        """The family, and how its request ends; one that is ``renewed`` has a flight to end."""
        family = self.families.setdefault(name, Family())
        family.requests += 1
        how = self._judge(family, serial)
        self.counts["requests"] += 1
        self.counts[how] += 1
        return family, how

    def _judge(self, family: Family, serial: int) -> str:
        if family.flying:
            return "doubled"
        if family.dead:
            return "dead"
        if serial != family.serial:
            family.dead = True
            return "replays"
        family.serial += 1
        family.flying = True
        return "renewed"

    def revoke(self, name: str) -> bool:
        """Whether it was alive."""
        family = self.families.setdefault(name, Family())
        was_alive = not family.revoked
        family.revoked = family.dead = True
        self.counts["revoked" if was_alive else "revoked_again"] += 1
        return was_alive

    def report(self, path: str) -> Mapping[str, int]:
        families = self.families.values()
        if path == "/serials":
            return {name: family.serial for name, family in self.families.items()}
        most = max((family.requests for family in families), default=0)
        flying = sum(family.flying for family in families)
        return {**{name: self.counts[name] for name in COUNTED}, "most": most, "flying": flying}


class Client(asyncio.Protocol):
    """One connection, one request at a time."""

    transport: asyncio.Transport

    def __init__(self, world: World, loop: asyncio.AbstractEventLoop) -> None:
        self._world = world
        self._loop = loop
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if end and len(body) >= int(length[1] if length else 0):
            self._received = b""
            self._handle(head.split(b" ", 2)[1].decode(), body)

    def _handle(self, path: str, body: bytes) -> None:
        token = TOKEN.search(body)
        if token is None:
            self._answer("200 OK", self._world.report(path))
            return
        name, serial = token[1].decode(), int(token[2])
        if path == REVOKE:
            self._revoke(name)
            return
        family, how = self._world.spend(name, serial)
        if how == "renewed":
            self._loop.call_later(self._world.delay, self._renew, name, family)
        else:
            refusal = {"error": "invalid_grant", "error_description": BUSY if how == "doubled" else DEAD}
            self._loop.call_later(self._world.delay, self._answer, "400 Bad Request", refusal)

    def _revoke(self, name: str) -> None:
        if self._world.revoke(name):
            self._loop.call_later(self._world.delay, self._answer, "200 OK", {})
        else:
            refusal = {"error": "invalid_token"}
            self._loop.call_later(self._world.delay, self._answer, "400 Bad Request", refusal)

    def _renew(self, name: str, family: Family) -> None:
        family.flying = False
        self._world.counts["unheard"] += self.transport.is_closing()
        answer = {
            "access_token": f"of-any-org.{family.serial:096d}",  # one that names an org is for that org alone
            "refresh_token": _token(name, family.serial),
            "instance_url": "https://acme.my.salesforce.com",
            "issued_at": str(int(time.time() * 1000)),
            "token_type": "Bearer",
        }
        self._answer("200 OK", answer)

    def _answer(self, status: str, value: Mapping[str, object]) -> None:
        body = json.dumps(value)
        self.transport.write((HEAD.format(status, len(body)) + body).encode())


async def serve(delay: float) -> None:
    loop = asyncio.get_running_loop()
    world = World(delay=delay)
    server = await loop.create_server(lambda: Client(world, loop), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # whoever started this process is done, or dead


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
