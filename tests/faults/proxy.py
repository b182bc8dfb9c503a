"""A TCP proxy that can be cut, as a database that restarts or a network that fails."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["Proxy", "proxy_to"]

CHUNK = 64 * 1024


class Proxy:
    """Listens on loopback and passes on what comes; while it is cut, it resets whoever comes.

    Muted, it keeps what the server answers to itself.

    Attributes:
        port: where it listens.
        turned_away: connections that came while it was cut.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self.turned_away = 0
        self._is_cut = False
        self._speaks = threading.Event()
        self._speaks.set()
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def mute(self) -> None:
        self._speaks.clear()

    def cut(self) -> None:
        """Resets all connections, and those to come."""
        with self._lock:
            self._is_cut = True
            cut, self._sockets = self._sockets, []
        for sock in cut:
            _reset(sock)

        self._speaks.set()

    def restore(self) -> None:
        self._is_cut = False

    def close(self) -> None:
        self.cut()
        self._listener.shutdown(socket.SHUT_RDWR)  # closing alone would not wake the thread in accept()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        with self._lock:
            if self._is_cut:
                self.turned_away += 1
                _reset(client)
                return
            server = socket.create_connection(self._target)
            self._sockets += [client, server]
        at_once = threading.Event()
        at_once.set()
        for source, sink, may_send in ((client, server, at_once), (server, client, self._speaks)):
            thread = threading.Thread(target=_pass_on, args=(source, sink, may_send))
            self._threads.append(thread)
            thread.start()


def _pass_on(source: socket.socket, sink: socket.socket, may_send: threading.Event) -> None:
    with suppress(OSError):
        while data := source.recv(CHUNK):
            may_send.wait()
            sink.sendall(data)
        sink.shutdown(socket.SHUT_RDWR)


def _reset(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RD)  # closing alone would not wake the thread in recv()
    sock.close()


@contextmanager
def proxy_to(host: str, port: int) -> Iterator[Proxy]:
    proxy = Proxy(host, port)
    try:
        yield proxy
    finally:
        proxy.close()
