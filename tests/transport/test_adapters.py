"""The pool that all requests share."""

from __future__ import annotations

import os
import ssl
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.util import ssl_

from django_sf_oauth import adapters
from django_sf_oauth.adapters import Exchange, PooledAdapter, pool, shared_adapter, use_adapter, watch

from .conftest import Serve
from .server import IMPATIENT, Peer, answer, json_answer, replying


def get(url: str, **settings: Any) -> requests.Response:
    request = requests.Request("GET", url).prepare()
    return shared_adapter().send(request, **settings)


def pool_for(adapter: PooledAdapter, url: str, *, cert: str | None = None) -> Any:
    request = requests.Request("GET", url).prepare()
    return adapter.get_connection_with_tls_context(request, verify=True, cert=cert)


@pytest.fixture
def adapter() -> Iterator[PooledAdapter]:
    adapter = PooledAdapter()
    with use_adapter(adapter):
        yield adapter
    HTTPAdapter.close(adapter)


@pytest.fixture
def no_plug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "_plugged", None)


@pytest.mark.usefixtures("no_plug")
def test_all_threads_share_one_adapter() -> None:
    found: list[BaseAdapter] = []
    threads = [threading.Thread(target=lambda: found.append(shared_adapter())) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert set(map(id, found)) == {id(shared_adapter())}


@pytest.mark.usefixtures("no_plug")
def test_plugged_adapter_is_seen_by_all_threads_and_taken_out_again() -> None:
    outer, inner, usual = HTTPAdapter(), HTTPAdapter(), shared_adapter()
    found: list[BaseAdapter] = []

    def look() -> None:
        thread = threading.Thread(target=lambda: found.append(shared_adapter()))
        thread.start()
        thread.join()

    def look_and_fail() -> None:
        with use_adapter(inner):
            look()
            raise RuntimeError

    with use_adapter(outer):
        with pytest.raises(RuntimeError):
            look_and_fail()
        look()
    look()

    assert found == [inner, outer, usual]


@pytest.mark.usefixtures("no_plug")
def test_child_of_a_fork_shares_no_connection_with_its_parent() -> None:
    parents = shared_adapter()

    with warnings.catch_warnings():
        # Other tests may have left threads behind; the child touches nothing of theirs.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork() or os._exit(int(shared_adapter() is parents))
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert shared_adapter() is parents


@pytest.mark.usefixtures("no_plug")
def test_renewal_leaves_a_fresh_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    before = shared_adapter()
    monkeypatch.setattr(adapters, "_pooled", before)
    monkeypatch.setattr(adapters, "_inherited", [])

    adapters._renew()

    assert isinstance(shared_adapter(), PooledAdapter)
    assert shared_adapter() is not before


def test_pools_of_hundreds_of_hosts_are_kept(adapter: PooledAdapter) -> None:
    urls = [f"https://org{number}.my.salesforce.com/" for number in range(300)]
    pools = [pool_for(adapter, url) for url in urls]

    again = [pool_for(adapter, url) for url in urls]

    assert all(first is second for first, second in zip(pools, again, strict=True))


def test_threads_of_one_host_do_not_wait_for_each_other(serve: Serve, adapter: PooledAdapter) -> None:
    everybody = threading.Barrier(110)

    def together(peer: Peer) -> None:
        everybody.wait(10)
        peer.send(answer(200, b""))

    server = serve(together)
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(get(server.url, timeout=10).status_code))
        for _ in range(110)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everybody.reset()

    assert statuses == [200] * 110
    assert server.connections == 110
    used = pool_for(adapter, server.url)
    assert (used.block, used.pool.maxsize >= 110) == (False, True)


@pytest.mark.usefixtures("adapter")
def test_connection_is_used_again(serve: Serve) -> None:
    server = serve(replying(json_answer(200, {})))

    for _ in range(3):
        assert get(server.url).json() == {}

    assert (len(server.seen), server.connections) == (3, 1)


@pytest.mark.usefixtures("adapter")
def test_session_that_closes_leaves_the_connections_of_the_others(serve: Serve) -> None:
    server = serve(replying(json_answer(200, {})))

    for _ in range(2):
        with requests.Session() as session:
            session.mount("http://", shared_adapter())
            session.get(server.url)

    assert (len(server.seen), server.connections) == (2, 1)


@pytest.mark.usefixtures("adapter")
def test_lost_request_is_never_sent_again(serve: Serve) -> None:
    server = serve(lambda peer: peer.reset())

    with pytest.raises(requests.ConnectionError):
        get(server.url)

    assert len(server.seen) == 1


@pytest.mark.usefixtures("adapter")
def test_ca_bundle_is_loaded_once_for_all_hosts(
    serve: Serve, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[object] = []
    load = ssl.SSLContext.load_verify_locations

    def count(self: ssl.SSLContext, **locations: str) -> None:
        loaded.append(locations)
        load(self, **locations)

    monkeypatch.setattr(pool._SharedContext, "load_verify_locations", count)
    servers = [serve(replying(answer(200, b"", headers={"Connection": "close"})), tls) for _ in range(3)]

    statuses = [get(server.url, verify=str(certificate)).status_code for server in servers * 2]

    assert statuses == [200] * 6
    assert loaded == [{"cafile": str(certificate)}]


@pytest.mark.usefixtures("adapter")
def test_directory_of_certificates_is_honoured(
    serve: Serve, tls: ssl.SSLContext, certificate: Path, tmp_path: Path
) -> None:
    server = serve(replying(answer(200, b"")), tls)

    with pytest.raises(requests.exceptions.SSLError):
        get(server.url, verify=str(tmp_path))

    assert get(server.url, verify=str(certificate)).status_code == 200


@pytest.mark.usefixtures("adapter")
def test_certificate_of_another_host_is_refused(serve: Serve, tls: ssl.SSLContext, certificate: Path) -> None:
    server = serve(replying(answer(200, b"")), tls)

    with pytest.raises(requests.exceptions.SSLError):
        get(server.url.replace("127.0.0.1", "localhost"), verify=str(certificate))

    assert server.seen == []


@pytest.mark.usefixtures("adapter")
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_unverified_connection_is_not_lent_to_a_request_that_verifies(serve: Serve, tls: ssl.SSLContext) -> None:
    server = serve(replying(answer(200, b"")), tls)

    assert get(server.url, verify=False).status_code == 200

    with pytest.raises(requests.exceptions.SSLError):
        get(server.url, verify=True)
    assert len(server.seen) == 1


def test_client_certificate_is_not_put_into_the_shared_context(adapter: PooledAdapter, certificate: Path) -> None:
    plain = pool_for(adapter, "https://acme.my.salesforce.com/")
    mutual = pool_for(adapter, "https://acme.my.salesforce.com/", cert=str(certificate))

    assert "ssl_context" in plain.conn_kw
    assert "ssl_context" not in mutual.conn_kw


@pytest.mark.usefixtures("adapter")
def test_shared_context_is_not_changed_by_connections(
    serve: Serve, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate)
    served.set_alpn_protocols(["http/1.0", "http/1.1"])
    chosen: list[str | None] = []

    def choose(peer: Peer) -> None:
        assert isinstance(peer.sock, ssl.SSLSocket)
        chosen.append(peer.sock.selected_alpn_protocol())
        peer.send(answer(200, b""))

    server = serve(choose, served)
    monkeypatch.setattr(ssl_, "ALPN_PROTOCOLS", ["http/1.0"])

    get(server.url, verify=str(certificate))

    assert chosen == ["http/1.1"]


def test_shared_context_verifies(adapter: PooledAdapter) -> None:
    context = adapter._context(True)

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.cert_store_stats()["x509_ca"] > 0


def test_tls_through_a_proxy_uses_the_shared_context(adapter: PooledAdapter) -> None:
    request = requests.Request("GET", "https://acme.my.salesforce.com/").prepare()

    found = adapter.get_connection_with_tls_context(request, verify=True, proxies={"https": "http://127.0.0.1:9"})

    assert isinstance(found, pool._TLSPool)
    assert found.conn_kw["ssl_context"] is adapter._context(True)


@pytest.mark.usefixtures("adapter")
def test_deadline_counts_for_the_body_too(serve: Serve) -> None:
    server = serve(replying(answer(200, bytes(200_000))))
    exchange = Exchange(deadline=time.monotonic() + 5)

    with watch(exchange):
        response = get(server.url, stream=True)
    exchange.deadline = time.monotonic()

    with response, pytest.raises(requests.ConnectionError, match="Read timed out"):
        list(response.iter_content(1000))


@pytest.mark.usefixtures("adapter")
def test_deadline_of_one_request_does_not_bind_the_next_on_its_connection(serve: Serve) -> None:
    def slow(peer: Peer) -> None:
        peer.closing.wait(IMPATIENT * (len(server.seen) - 1))
        peer.send(answer(200, b""))

    server = serve(slow)

    with watch(Exchange(deadline=time.monotonic() + IMPATIENT)):
        assert get(server.url).content == b""
    second = get(server.url)

    assert second.status_code == 200
    assert server.connections == 1


@pytest.mark.usefixtures("adapter")
def test_exchange_knows_that_its_request_was_sent(serve: Serve) -> None:
    server = serve(lambda peer: peer.reset())
    exchange = Exchange(deadline=time.monotonic() + 5)

    with watch(exchange), pytest.raises(requests.ConnectionError):
        get(server.url)

    assert exchange.request_sent
