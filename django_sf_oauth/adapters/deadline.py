"""Connections that end when their exchange has to, however slowly the bytes drip."""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError

__all__ = ["Exchange", "WatchedConnection", "WatchedTLSConnection", "watch"]


@dataclass(kw_only=True, slots=True)
class Exchange:
    """One request under watch: when it must have ended, and whether any of it left this machine.

    Attributes:
        deadline: by ``time.monotonic()``, in seconds.
        request_sent: set as soon as the first byte of the request may have reached the server.
    """

    deadline: float
    request_sent: bool = False

    @property
    def remaining(self) -> float:
        """Seconds until the deadline; negative after it."""
        return self.deadline - time.monotonic()


_watched: ContextVar[Exchange | None] = ContextVar("django_sf_oauth_exchange", default=None)


@contextmanager
def watch(exchange: Exchange) -> Iterator[None]:
    """Holds the request made inside to `exchange.deadline`, however slowly the bytes of its answer drip.

    The timeout of requests is one per read: a byte now and then outlives it forever.
    """
    token = _watched.set(exchange)
    try:
        yield
    finally:
        _watched.reset(token)


class _DeadlineReader(io.RawIOBase):
    """Gives each read of a socket no more than what is left of the whole."""

    def __init__(self, sock: socket.socket, exchange: Exchange) -> None:
        super().__init__()
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._exchange = exchange

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        remaining = self._exchange.remaining
        if remaining <= 0:
            raise TimeoutError("The deadline of the exchange has passed.")
        self._sock.settimeout(remaining)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


@dataclass(frozen=True, slots=True)
class _DeadlineSocket:
    """What ``http.client`` asks of a socket to read an answer from it."""

    sock: socket.socket
    exchange: Exchange

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self.sock, self.exchange))


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        if exchange := _watched.get():
            sock = _DeadlineSocket(sock, exchange)
        super().__init__(sock, *args, **kwargs)


class WatchedConnection(HTTPConnection):
    response_class = _Response

    def connect(self) -> None:
        super().connect()
        exchange = _watched.get()
        if exchange and exchange.remaining <= 0:
            # A slow resolver, or several dead addresses in turn: too late to begin.
            raise ConnectTimeoutError(self, "The deadline of the exchange has passed.")

    def endheaders(self, message_body: Any = None, *, encode_chunked: bool = False) -> None:
        if self.sock is None:
            self.connect()
        if exchange := _watched.get():
            exchange.request_sent = True
        super().endheaders(message_body, encode_chunked=encode_chunked)


class WatchedTLSConnection(WatchedConnection, HTTPSConnection):
    pass
