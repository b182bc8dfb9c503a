"""Orgs on loopback, served by another process: a POST gets tokens, all else the same kilobyte of JSON.

Run as a program it is that process: ``python orgs.py NUMBER [CERTIFICATE]`` prints the ports that it listens on.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
import selectors
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE

__all__ = ["make_certificate", "serving"]

RECORDS = [{"Id": f"001{number:015d}", "Name": f"Account {number:04d}", "Rating": "Warm"} for number in range(15)]
BODY = json.dumps({"totalSize": len(RECORDS), "done": True, "records": RECORDS}).encode().ljust(1024)
TOKENS = {
    "access_token": "00D000000000001!" + "a" * 96,
    "refresh_token": "5Aep861" + "r" * 80,
    "signature": "s" * 44,
    "scope": "refresh_token api",
    "instance_url": "https://acme.my.salesforce.com",
    "id": "https://login.salesforce.com/id/00D000000000001EAA/005000000000001AAA",
    "token_type": "Bearer",
    "issued_at": "1700000000000",
}


def _whole(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


ANSWER, GRANTED = _whole(BODY), _whole(json.dumps(TOKENS).encode())
LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


@contextmanager
def serving(number: int, certificate: Path | None = None) -> Iterator[list[str]]:
    """The URLs of so many orgs, over TLS if there is a certificate."""
    command = [sys.executable, __file__, str(number), *([str(certificate)] if certificate else [])]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:  # noqa: S603  # this file
        ports = process.stdout.readline().split() if process.stdout else []
        yield [f"{'https' if certificate else 'http'}://127.0.0.1:{port}" for port in ports]


def make_certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmarks")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "certificate.pem"
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + private)
    return path


def serve(number: int, certificate: str | None) -> None:
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=64) for _ in range(number)]
    print(*(listener.getsockname()[1] for listener in listeners), flush=True)
    # One thread for all: to wake another one for each org would be a cost of this server, not of the caller.
    with selectors.DefaultSelector() as ready:
        ready.register(sys.stdin, selectors.EVENT_READ)
        for listener in listeners:
            ready.register(listener, selectors.EVENT_READ, data=_accept)
        while True:
            for key, _ in ready.select():
                if key.data is None:
                    return  # whoever started this process is done, or dead
                key.data(key.fileobj, ready, tls)


def _accept(listener: socket.socket, ready: selectors.BaseSelector, tls: ssl.SSLContext | None) -> None:
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls:
        connection = tls.wrap_socket(connection, server_side=True)
    ready.register(connection, selectors.EVENT_READ, data=_answer)


def _answer(connection: socket.socket, ready: selectors.BaseSelector, tls: ssl.SSLContext | None) -> None:
    if request := connection.recv(65536):
        _read_rest(connection, request)
        connection.sendall(GRANTED if request.startswith(b"POST ") else ANSWER)
    else:
        ready.unregister(connection)
        connection.close()


def _read_rest(connection: socket.socket, request: bytes) -> None:
    """The head is small enough to come at once; the body of a form may come after it."""
    length = LENGTH.search(request)
    missing = int(length[1]) - len(request.partition(b"\r\n\r\n")[2]) if length else 0
    while missing > 0:
        missing -= len(connection.recv(65536)) or missing


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
