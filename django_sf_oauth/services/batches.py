"""How much a sweep hands over at a time, and how fast that is begun.

What has fallen due since the last sweep, asked for all at once, would be a second of hundreds of token requests
and then a quarter of a minute of none. Nobody waits for it: the access tokens are still alive.
"""

from __future__ import annotations

__all__ = ["BATCH", "SLOWEST", "SPREAD", "SWEEP", "pause_between"]

BATCH = 500  # connections per task
SWEEP = 10 * BATCH  # connections per sweep: what is left waits for the next one, not on the broker
SPREAD = 12.0  # seconds; there are fifteen until the next sweep, and its batch is to find a worker
SLOWEST = 20  # exchanges begun a second, so that the worker of a small site is soon free again


def pause_between(count: int) -> float:
    """Seconds from the beginning of one exchange to that of the next, in a batch of so many.

    There is none in a full batch: more is due than was handed over, and waits behind it.
    """
    return 0.0 if count >= BATCH else min(SPREAD / max(count, 1), 1 / SLOWEST)
