"""Keeps the fake's own half of the conversation out of the logs.

oauthlib's server side writes tokens into its DEBUG records. A test that looks for tokens in the logs asks about
the client, and must not find those that the fake received.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_serving = threading.local()


def _is_the_clients(record: logging.LogRecord) -> bool:
    return not getattr(_serving, "now", False)


def hush() -> None:
    """Puts the filter on oauthlib's loggers (a filter on a parent does not see what its children log)."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("oauthlib."):
            logging.getLogger(name).addFilter(_is_the_clients)


@contextmanager
def serving() -> Iterator[None]:
    """While this thread answers a request, oauthlib's records of this thread are dropped."""
    _serving.now = True
    try:
        yield
    finally:
        _serving.now = False
