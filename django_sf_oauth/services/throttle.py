"""Requests at even distances."""

from __future__ import annotations

from collections.abc import Callable

from .rate_limits import parse_rate

__all__ = ["Throttle"]

CATCH_UP = 1.0  # seconds by which a sleep that took too long is made up for; a pause is not


class Throttle:
    """Spaces requests evenly, separately for each key.

    Args:
        monotonic: a clock in seconds.
        sleep: waits so many seconds.
        catch_up: seconds that are made up for at most, all at once.
    """

    def __init__(
        self, monotonic: Callable[[], float], sleep: Callable[[float], None], catch_up: float = CATCH_UP
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._catch_up = catch_up
        self._next: dict[object, float] = {}

    def wait(self, key: object, rate: str | None) -> None:
        """Returns when the next request may be made. `rate`: such as ``"50/s"``; None does not wait."""
        if rate is None:
            return
        count, window = parse_rate(rate)
        self.space(key, window.total_seconds() / count)

    def space(self, key: object, seconds: float) -> None:
        """Returns when the next request may be made; the one after it, so many seconds later."""
        now = self._monotonic()
        turn = max(self._next.get(key, now), now - self._catch_up)
        if turn > now:
            self._sleep(turn - now)
        self._next[key] = turn + seconds
