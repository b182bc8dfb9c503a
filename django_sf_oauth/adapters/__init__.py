"""The process's one way out: a pool of connections that every request of the package shares.

A new session per request costs 36 times a pooled call over TLS, most of it the loading of the CA bundle, and
the default of ten host pools costs 44 times as soon as the orgs outnumber it. Hence one adapter per process,
with room for hundreds of hosts and one SSL context for all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from requests.adapters import BaseAdapter

from .deadline import Exchange, watch
from .lean import LeanSession
from .pool import PooledAdapter

__all__ = ["Exchange", "LeanSession", "PooledAdapter", "shared_adapter", "use_adapter", "watch"]

_pooled = PooledAdapter()
_plugged: BaseAdapter | None = None


def shared_adapter() -> BaseAdapter:
    """The adapter for every request of the package: to the authorization host and to the API.

    Mount it, and do not keep it: another one takes its place after a fork and inside `use_adapter`.
    """
    return _plugged or _pooled


@contextmanager
def use_adapter(adapter: BaseAdapter) -> Iterator[None]:
    """Sends every request of the package, from all threads, to `adapter`. For tests and fakes."""
    global _plugged
    previous, _plugged = _plugged, adapter
    try:
        yield
    finally:
        _plugged = previous


_inherited: list[BaseAdapter] = []


def _renew() -> None:
    """Parent and child must not write into one socket.

    The parent's adapter is kept and not closed: a thread that was not copied may hold one of its locks.
    """
    global _pooled
    _inherited.append(_pooled)
    _pooled = PooledAdapter()


with suppress(AttributeError):  # Windows does not fork
    os.register_at_fork(after_in_child=_renew)
