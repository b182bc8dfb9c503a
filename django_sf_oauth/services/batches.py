"""How much a sweep hands over at a time, and how fast that is begun.

What has fallen due since the last sweep, asked for all at once, would be a second of hundreds of token requests
and then a quarter of a minute of none. Nobody waits for it: the access tokens are still alive.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["BATCH", "SLOWEST", "SPREAD", "SWEEP", "spread"]

BATCH = 500  # connections per task
SWEEP = 10 * BATCH  # connections per sweep: what is left waits for the next one, not on the broker
SPREAD = 12.0  # seconds; there are fifteen until the next sweep, and its batches are to find a worker
SLOWEST = 20  # exchanges begun a second, so that the worker of a small site is soon free again


def spread(counts: Sequence[int], *, limit: int) -> list[float]:
    """Over how many seconds each batch of a sweep is to be begun.

    One worker after the other, they all together take no longer than `SPREAD`. A sweep that took as many as it was
    allowed has left others that wait: then they are begun at once.

    Args:
        counts: of connections in each batch.
        limit: how many the sweep was allowed to take.
    """
    total = sum(counts)
    rate = max(total / SPREAD, SLOWEST)
    return [0.0 if total >= limit else count / rate for count in counts]
