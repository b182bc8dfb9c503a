"""How far a long command has come, for whoever watches."""

from __future__ import annotations

from typing import Any

__all__ = ["Progress"]

WIDTH = 30  # characters


class Progress:
    """One line that is written over; nothing where no terminal is."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._is_open = False

    def __call__(self, done: int, total: int) -> None:
        if self._stream.isatty():
            bar = "#" * (WIDTH * done // max(total, 1))
            self._stream.write(f"\r[{bar:{WIDTH}}] {done:,} / {total:,}", ending="")
            self._stream.flush()
            self._is_open = True

    def end(self) -> None:
        if self._is_open:
            self._stream.write("")
