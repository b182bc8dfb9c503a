"""The way out of async code: pools of connections for each event loop, since none can be used on another."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from functools import lru_cache

import httpx2
from requests.utils import (
    DEFAULT_CA_BUNDLE_PATH,
    get_environ_proxies,
    prepend_scheme_if_needed,
    select_proxy,
)

from . import shared_adapter
from .pool import context_trusting

__all__ = ["SharedTransport"]

# httpx2 looks through all connections of a pool at each request: with 500 of them a call takes five times the CPU.
# So there are several pools, and each host has its place in one. A request too many waits for a connection.
POOLS = 64
LIMITS = httpx2.Limits(max_connections=64, max_keepalive_connections=64, keepalive_expiry=60.0)
REMEMBERED_ORIGINS = 1024

BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")

_trusting = lru_cache(maxsize=8)(context_trusting)  # to load a bundle of certificates takes 13 ms


class SharedTransport(httpx2.AsyncBaseTransport):
    """Whatever the process and the event loop share at the moment of a request; closing it leaves that open.

    Where an adapter is plugged in that has an ``async_twin``, the requests go to that.
    """

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        async_twin = getattr(shared_adapter(), "async_twin", None)
        transport = async_twin() if async_twin else (await _pools_of_this_loop()).transport_for(request.url)
        response: httpx2.Response = await transport.handle_async_request(request)
        return response


class _Pools:
    """The pools of one event loop. They honour the environment's proxies and bundles as requests does."""

    def __init__(self) -> None:
        self._pools: dict[tuple[str, int], httpx2.AsyncHTTPTransport] = {}
        self._by_origin: dict[str, httpx2.AsyncHTTPTransport] = {}

    def transport_for(self, url: httpx2.URL) -> httpx2.AsyncHTTPTransport:
        origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        if origin not in self._by_origin:
            if len(self._by_origin) >= REMEMBERED_ORIGINS:
                self._by_origin.clear()  # what they stood for stays in the pools
            self._by_origin[origin] = self._pool_for(origin)
        return self._by_origin[origin]

    def _pool_for(self, origin: str) -> httpx2.AsyncHTTPTransport:
        proxy = select_proxy(origin, get_environ_proxies(origin)) or ""
        place = (proxy, hash(origin) % POOLS)
        if place not in self._pools:
            self._pools[place] = _new_pool(proxy)
        return self._pools[place]

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()


def _new_pool(proxy: str) -> httpx2.AsyncHTTPTransport:
    context = _trusting(next(filter(None, map(os.environ.get, BUNDLES)), DEFAULT_CA_BUNDLE_PATH))
    if not proxy:
        return httpx2.AsyncHTTPTransport(verify=context, limits=LIMITS)
    url = str(prepend_scheme_if_needed(proxy, "http"))  # type: ignore[no-untyped-call]  # types-requests
    over_tls = url.startswith("https:")
    through = httpx2.Proxy(url, ssl_context=context if over_tls else None)
    return httpx2.AsyncHTTPTransport(verify=context, limits=LIMITS, proxy=through)


_of_loops: dict[asyncio.AbstractEventLoop, tuple[_Pools, AsyncGenerator[None]]] = {}


async def _pools_of_this_loop() -> _Pools:
    """A forked child has loops of its own, and so never uses a connection of its parent."""
    loop = asyncio.get_running_loop()
    if loop not in _of_loops:
        for ended in [one for one in list(_of_loops) if one.is_closed()]:
            _of_loops.pop(ended, None)
        pools = _Pools()
        closing = _closing_with(loop, pools)
        await anext(closing)
        _of_loops[loop] = pools, closing
    return _of_loops[loop][0]


async def _closing_with(loop: asyncio.AbstractEventLoop, pools: _Pools) -> AsyncGenerator[None]:
    """Closes the pools when the loop ends: ``asyncio.run`` and all its like close async generators before that."""
    try:
        yield
    finally:
        del _of_loops[loop]
        await pools.aclose()
