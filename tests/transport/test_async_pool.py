"""The pools of the async clients, over real sockets on loopback."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import ssl
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from django_sf_oauth.adapters import async_pool
from django_sf_oauth.adapters.async_pool import SharedTransport

from .server import HostileServer, answer, replying

Serve = Callable[..., HostileServer]
OK = answer(200, b"{}")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", *async_pool.BUNDLES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def get(*urls: str) -> list[int]:
    """One client after the other, each for a call, and none of them closed."""
    clients = [httpx2.AsyncClient(transport=SharedTransport()) for _ in urls]
    return [(await client.get(url)).status_code for client, url in zip(clients, urls, strict=True)]


def test_clients_of_one_loop_share_connections(serve: Serve) -> None:
    server = serve(replying(OK))

    assert asyncio.run(get(*[server.url] * 5)) == [200] * 5
    assert server.connections == 1


def test_a_client_that_closes_leaves_the_connections_of_the_others(serve: Serve) -> None:
    server = serve(replying(OK))

    async def calls() -> None:
        for _ in range(3):
            async with httpx2.AsyncClient(transport=SharedTransport()) as client:
                await client.get(server.url)

    asyncio.run(calls())

    assert server.connections == 1


def test_a_loop_that_ends_leaves_nothing_open(serve: Serve) -> None:
    """A socket left open would be a ResourceWarning, and that an error."""
    server = serve(replying(OK))

    for _ in range(3):
        asyncio.run(get(server.url))
    gc.collect()

    assert server.connections == 3
    assert async_pool._of_loops == {}


def test_loops_at_once_have_a_connection_each(serve: Serve) -> None:
    server = serve(replying(OK))
    gate = threading.Barrier(2)
    fared: list[list[int]] = []

    def run() -> None:
        gate.wait(10)
        fared.append(asyncio.run(get(*[server.url] * 3)))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert fared == [[200] * 3] * 2
    assert server.connections == 2


def test_a_loop_that_was_closed_in_haste_is_forgotten_by_the_next() -> None:
    hasty = asyncio.new_event_loop()
    hasty.run_until_complete(async_pool._pools_of_this_loop())
    hasty.close()
    left = list(async_pool._of_loops)

    async def seen() -> bool:
        await async_pool._pools_of_this_loop()
        return hasty in async_pool._of_loops

    assert left == [hasty]
    assert not asyncio.run(seen())


def test_a_child_of_a_fork_uses_no_connection_of_its_parent(serve: Serve) -> None:
    server = serve(replying(OK))
    context = multiprocessing.get_context("fork")
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(get(server.url))
        child = context.Process(target=lambda: asyncio.run(get(server.url)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the child touches nothing of other threads
            child.start()
        child.join(30)
        loop.run_until_complete(get(server.url))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    assert child.exitcode == 0
    assert server.connections == 2


def test_more_calls_than_connections_wait_for_their_turn(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_pool, "LIMITS", httpx2.Limits(max_connections=4))
    server = serve(replying(OK))

    async def calls() -> list[list[int]]:
        return await asyncio.gather(*(get(server.url) for _ in range(40)))

    assert asyncio.run(calls()) == [[200]] * 40
    assert server.connections <= 4


def test_the_place_of_a_host_is_looked_up_again_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_pool, "REMEMBERED_ORIGINS", 2)
    pools = async_pool._Pools()
    urls = [httpx2.URL(f"https://org{number}.my.salesforce.com/") for number in range(3)]

    first = [pools.transport_for(url) for url in urls]

    assert [pools.transport_for(url) for url in urls] == first


# What it trusts, and by which way it goes


@pytest.mark.parametrize("variable", async_pool.BUNDLES)
def test_the_bundle_of_the_environment_is_trusted(
    serve: Serve, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    server = serve(replying(OK), tls)
    monkeypatch.setenv(variable, str(certificate))

    assert asyncio.run(get(server.url)) == [200]


def test_a_certificate_that_nobody_vouches_for_is_refused(serve: Serve, tls: ssl.SSLContext) -> None:
    server = serve(replying(OK), tls)

    with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        asyncio.run(get(server.url))
    assert server.seen == []


def test_the_bundle_is_loaded_once_for_all_loops() -> None:
    async_pool._new_pool("")
    loaded = async_pool._trusting.cache_info().misses

    async_pool._new_pool("")

    assert async_pool._trusting.cache_info().misses == loaded


@pytest.mark.parametrize("scheme", ["http://", ""], ids=["url", "host-and-port"])
def test_the_proxy_of_the_environment_is_used(serve: Serve, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    proxy = serve(replying(OK))
    monkeypatch.setenv("http_proxy", scheme + proxy.host)

    assert asyncio.run(get("http://org.example/services/data/")) == [200]
    assert [one.path for one in proxy.seen] == ["http://org.example/services/data/"]


def test_a_proxy_over_tls_is_verified_by_the_same_bundle(
    serve: Serve, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(replying(OK), tls)
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))

    assert asyncio.run(get("http://org.example/services/data/")) == [200]


def test_a_host_without_a_proxy_is_reached_directly(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(replying(OK))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    assert asyncio.run(get(server.url)) == [200]
