"""A server on loopback that behaves as badly as a test asks, and counts what reached it."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import parse_qs

CODE = "aPrx-code-of-the-tests"
VERIFIER = "verifier-of-the-tests-0123456789-0123456789-0123456789"
SECRET = "consumer-secret-of-the-tests"
OLDER_SECRET = "older-secret-of-the-tests"
REFRESH = "5Aep861-refresh-of-the-tests"
ACCESS = "00D000000000001!access-of-the-tests"
NEW_REFRESH = "5Aep861-rotated-refresh"
NEW_ACCESS = "00D000000000001!new-access"
IMPATIENT = 2.0  # seconds: the shortest deadline within which a busy machine still connects

SECRETS = (CODE, VERIFIER, SECRET, OLDER_SECRET, REFRESH, ACCESS, NEW_REFRESH, NEW_ACCESS)

GRANTED = {
    "access_token": NEW_ACCESS,
    "refresh_token": NEW_REFRESH,
    "instance_url": "https://acme.my.salesforce.com",
    "id": "https://login.salesforce.com/id/00D000000000001EAA/005000000000001AAA",
    "issued_at": "1700000000000",
    "token_type": "Bearer",
}


@dataclass(frozen=True, kw_only=True)
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    form: dict[str, list[str]]


@dataclass
class Peer:
    """The server's side of one connection."""

    sock: socket.socket
    closing: threading.Event

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def drip(self, byte: bytes) -> None:
        """One byte at a time, more often than any read timeout, until the other side has gone."""
        while not self.closing.wait(0.02):
            self.send(byte)

    def hang(self) -> None:
        self.closing.wait(10)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.close(self.sock.detach())  # at once, although a file still holds the socket


Behaviour = Callable[[Peer], None]


@dataclass
class HostileServer:
    behaviour: Behaviour
    tls: ssl.SSLContext | None = None
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self.closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}"

    def close(self) -> None:
        self.closing.set()
        # Closing alone would not wake the thread in accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.settimeout(10)
                self.connections += 1
                thread = threading.Thread(target=self._serve, args=(sock,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            with sock:
                self._answer_all(sock)

    def _answer_all(self, sock: socket.socket) -> None:
        stopper = threading.Thread(target=self._hang_up_at_close, args=(sock,))
        stopper.start()
        self._threads.append(stopper)
        with sock.makefile("rb") as stream:
            for seen in _requests(stream):
                self.seen.append(seen)
                self.behaviour(Peer(sock, self.closing))

    def _hang_up_at_close(self, sock: socket.socket) -> None:
        self.closing.wait()
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def _requests(stream: BinaryIO) -> Iterator[Seen]:
    while line := stream.readline():
        method, path, _ = line.decode().split()
        headers = {}
        while header := stream.readline().decode().strip():
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0))).decode()
        yield Seen(method=method, path=path, headers=headers, form=parse_qs(body, keep_blank_values=True))


def answer(
    status: int, body: bytes, content_type: str = "application/json", headers: dict[str, str] | None = None
) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", f"Content-Type: {content_type}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def json_answer(status: int, content: object, headers: dict[str, str] | None = None) -> bytes:
    return answer(status, json.dumps(content).encode(), headers=headers)


def replying(*answers: bytes) -> Behaviour:
    """Sends the answers in turn, and the last one again and again."""
    left = list(answers)
    return lambda peer: peer.send(left.pop(0) if len(left) > 1 else left[0])


@contextmanager
def serving(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[HostileServer]:
    server = HostileServer(behaviour, tls)
    try:
        yield server
    finally:
        server.close()
