"""What was asked of the fake, without a single secret."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105  # a path
KEPT = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """One request and how it ended. `at` is epoch seconds of the fake's clock.

    `grant_type` is empty but at the token endpoint. `outcome` is ``ok``, the OAuth or API error code,
    ``HTTP 503`` for an answer without one, ``lost`` for an answer that never arrived, or ``foreign_host``.
    """

    at: float
    method: str
    host: str
    path: str
    grant_type: str
    outcome: str
    detail: str = ""


class Journal:
    """The latest requests, oldest first."""

    def __init__(self) -> None:
        self._kept: deque[Exchange] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def add(self, exchange: Exchange) -> None:
        with self._lock:
            self._kept.append(exchange)

    def __iter__(self) -> Iterator[Exchange]:
        with self._lock:
            return iter(tuple(self._kept))

    def token_requests(self) -> list[Exchange]:
        return [exchange for exchange in self if exchange.path == TOKEN_PATH]
