"""Trouble on demand: hostile answers, lost answers, slow answers, a held token endpoint."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, get_args

from .http import Response

Surface = Literal["token", "revoke", "introspect", "userinfo", "identity", "discovery", "authorize", "api"]
SURFACES: tuple[Surface, ...] = get_args(Surface)
# A test that forgets to let go must fail, not hang.
LONGEST_HOLD = 30.0


class AnswerLost(ConnectionAbortedError):
    """The request was processed, and its answer never arrives."""

    def __init__(self) -> None:
        super().__init__("The fake Salesforce processed the request and dropped the connection.")


class Held:
    """The token endpoint while it is held: requests arrive and wait for `release`."""

    def __init__(self) -> None:
        self._arrived = threading.Semaphore(0)
        self._open = threading.Event()

    def wait_for(self, count: int = 1, *, timeout: float = LONGEST_HOLD) -> None:
        """Returns when `count` more requests have arrived.

        Raises:
            TimeoutError: fewer came within `timeout` seconds.
        """
        for _ in range(count):
            if not self._arrived.acquire(timeout=timeout):
                raise TimeoutError("Fewer token requests arrived than were awaited.")

    def release(self) -> None:
        """Lets the waiting requests go on, and those to come pass."""
        self._open.set()

    def pass_through(self) -> None:
        self._arrived.release()
        self._open.wait(LONGEST_HOLD)


@dataclass(kw_only=True, slots=True, eq=False)
class Faults:
    """The trouble that is planned. `delay` is seconds at the token endpoint, before anything happens there."""

    sleep: Callable[[float], None]
    delay: float = 0.0
    maintenance: bool = False
    _planned: dict[Surface, deque[Response]] = field(default_factory=lambda: {s: deque() for s in SURFACES})
    _to_lose: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _held: Held | None = None

    def plan(self, where: Surface, response: Response, *, times: int) -> None:
        with self._lock:
            self._planned[where].extend([response] * times)

    def plan_loss(self, times: int) -> None:
        with self._lock:
            self._to_lose += times

    def take(self, where: Surface) -> Response | None:
        """The next planned answer for the surface, each once."""
        with self._lock:
            planned = self._planned[where]
            return planned.popleft() if planned else None

    def lose(self, where: Surface) -> None:
        """Raises `AnswerLost` as often as was planned, at the token endpoint alone."""
        with self._lock:
            if where != "token" or not self._to_lose:
                return
            self._to_lose -= 1
        raise AnswerLost

    def pause(self) -> None:
        """What a token request waits for, while no lock is held."""
        if held := self._held:
            held.pass_through()
        if self.delay:
            self.sleep(self.delay)

    @contextmanager
    def hold(self) -> Iterator[Held]:
        self._held = held = Held()
        try:
            yield held
        finally:
            self._held = None
            held.release()
