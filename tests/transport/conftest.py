from __future__ import annotations

import datetime
import ipaddress
import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from requests.adapters import HTTPAdapter

from django_sf_oauth.adapters import PooledAdapter, use_adapter
from django_sf_oauth.conf import AppSettings, Timeouts
from django_sf_oauth.logs import hide_secrets_in_logs

from .server import SECRET, SECRETS, Behaviour, HostileServer, serving

Serve = Callable[..., HostileServer]
AppFor = Callable[..., AppSettings]


@pytest.fixture(autouse=True)
def nothing_leaks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test here does, no record of any library holds a secret, in its text or in its arguments."""
    hide_secrets_in_logs()
    caplog.set_level(logging.DEBUG)

    yield

    records = [f"{record.getMessage()} {vars(record)}" for record in caplog.get_records("call")]
    assert [secret for secret in SECRETS if any(secret in record for record in records)] == []


@pytest.fixture(autouse=True)
def own_pool() -> Iterator[None]:
    """A pool of its own for each test, so that none meets a connection of another."""
    adapter = PooledAdapter()
    with use_adapter(adapter):
        yield
    HTTPAdapter.close(adapter)


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> HostileServer:
            return stack.enter_context(serving(behaviour, tls))

        yield start


@pytest.fixture
def app_for() -> AppFor:
    """An app that trusts these servers. Only a test of slowness makes it impatient: machines are slow too."""

    def make(
        *servers: HostileServer, client_secret: object = SECRET, connect: float = 30, total: float = 30
    ) -> AppSettings:
        app = AppSettings(
            alias="default",
            client_id="3MVG9.client",
            trusted_hosts=tuple(server.host for server in servers),
            timeouts=Timeouts(connect=connect, total=total),
        )
        return replace(app, client_secret=client_secret)  # type: ignore[arg-type]  # any source of secrets

    return make


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
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
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture(scope="session")
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
