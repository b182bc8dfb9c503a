"""One pool of connections with room for every org."""

from __future__ import annotations

import os
import ssl
import threading
from typing import Any

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager

from .deadline import WatchedConnection, WatchedTLSConnection

__all__ = ["PooledAdapter", "context_trusting"]

HOST_POOLS = 512
CONNECTIONS_PER_HOST = 168  # as many as there are threads that refresh


class _Pool(HTTPConnectionPool):
    ConnectionCls = WatchedConnection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = WatchedTLSConnection


class _SharedContext(ssl.SSLContext):
    """A context that nobody changes once it is shared.

    urllib3 sets the ALPN protocols anew for each connection, which frees what OpenSSL may be copying for a
    handshake in another thread.
    """

    def set_alpn_protocols(self, alpn_protocols: Any) -> None:
        pass


def context_trusting(location: str) -> ssl.SSLContext:
    context = _SharedContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies the chain and the host name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    ssl.SSLContext.set_alpn_protocols(context, ["http/1.1"])
    if os.path.isdir(location):
        context.load_verify_locations(capath=location)
    else:
        context.load_verify_locations(cafile=location)
    return context


class PooledAdapter(HTTPAdapter):
    """An adapter for hundreds of hosts and threads, which never sends a request twice.

    It honours proxies and ``REQUESTS_CA_BUNDLE`` as requests does. Beyond its size the pool does not block: a
    connection too many is opened and dropped.
    """

    def __init__(self) -> None:
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._contexts_lock = threading.Lock()
        self._pools: dict[tuple[object, ...], Any] = {}
        super().__init__(pool_connections=HOST_POOLS, pool_maxsize=CONNECTIONS_PER_HOST, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _watch_connections_of(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **proxy_kwargs)
        _watch_connections_of(manager)
        return manager

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: bool | str | None, proxies: Any = None, cert: Any = None
    ) -> Any:
        """The pool of the URL's host; to find one that is known takes requests and urllib3 ten times as long."""
        if proxies or cert:
            return super().get_connection_with_tls_context(request, verify, proxies, cert)
        place = (*(request.url or "").split("/", 3)[:3], verify)
        pool = self._pools.get(place)
        if pool is None:
            pool = super().get_connection_with_tls_context(request, verify)
            if len(self._pools) >= HOST_POOLS:
                self._pools.clear()  # the manager still has those that were used last
            self._pools[place] = pool
        return pool

    def request_url(self, request: PreparedRequest, proxies: Any) -> str:
        return super().request_url(request, proxies) if proxies else request.path_url

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: bool | str, cert: Any = None
    ) -> Any:
        host, tls = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https" and _may_share_context(verify, cert):
            tls = {"cert_reqs": "CERT_REQUIRED", "ssl_context": self._context(verify)}
        return host, tls

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        # With `ca_certs` on the pool, urllib3 would load the bundle into the context for each connection.
        if not _may_share_context(verify, cert):
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]  # types-requests

    def close(self) -> None:
        """Keeps the pools: ``Session.close()`` of one caller must not cut off all the others."""

    def _context(self, verify: bool | str) -> ssl.SSLContext:
        location = verify if isinstance(verify, str) else DEFAULT_CA_BUNDLE_PATH
        with self._contexts_lock:
            if location not in self._contexts:
                self._contexts[location] = context_trusting(location)
            return self._contexts[location]


def _may_share_context(verify: bool | str | None, cert: Any) -> bool:
    """A client certificate would be loaded into the context, and shown to every other host."""
    return bool(verify) and not cert


def _watch_connections_of(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
