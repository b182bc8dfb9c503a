"""How far a long command has come, on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["Progress"]

WIDTH = 30  # characters
EVERY = 0.1  # seconds


class Progress:
    """A bar that is drawn over itself; nothing where the stream is no terminal.

    Args:
        stream: where it is drawn.
        total: how many there are; there may come more.
    """

    def __init__(
        self, stream: Any, label: str, total: int, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream if stream.isatty() else None
        self._label = label
        self._total = total
        self._done = 0
        self._monotonic = monotonic
        self._started = monotonic()
        self._drawn_at = 0.0

    def __call__(self, number: int) -> None:
        """So many more are done."""
        self._done += number
        now = self._monotonic()
        if self._stream and now - self._drawn_at >= EVERY:
            self._drawn_at = now
            self._stream.write(f"\r{self.line(now)}", ending="")
            self._stream.flush()

    def close(self) -> None:
        """Draws the end of it."""
        if self._stream:
            self._stream.write(f"\r{self.line(self._monotonic())}")

    def line(self, now: float) -> str:
        total = max(self._total, self._done, 1)
        filled = WIDTH * self._done // total
        rate = self._done / max(now - self._started, 0.001)
        bar = "#" * filled + "." * (WIDTH - filled)
        return f"{self._label} [{bar}] {self._done}/{total}, {rate:.0f}/s "
