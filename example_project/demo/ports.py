"""Ports of this machine: which are free, and whether somebody answers there."""

from __future__ import annotations

import errno
import socket


class PortTaken(Exception):
    """The text says what to do."""

    def __init__(self, port: int, option: str) -> None:
        super().__init__(
            f"Port {port} is taken by another program. Choose another one: tox run -e demo -- {option} {port + 10}"
        )


def choose_port(host: str, port: int, *, option: str) -> int:
    """The port if nothing listens there; a free one for 0.

    Raises:
        PortTaken: somebody is there; `option` is the one of the command line that chooses another.
    """
    if port == 0:
        return _free_port()
    if any(_is_taken(*place) for place in _places(host, port)):
        raise PortTaken(port, option)
    return port


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _places(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    """Every address of the name: a browser tries ::1 before 127.0.0.1, and would find another program there."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, (str(address[0]), port)) for family, _, _, _, address in found]


def _is_taken(family: socket.AddressFamily, address: tuple[str, int]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do, after a restart
        try:
            server.bind(address)
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False
