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


def spread(counts: Sequence[int], *, others_wait: bool) -> list[float]:
    """Over how many seconds each batch of a sweep is to be begun.

    One after the other, in one worker, they all take `SPREAD` at most to begin.

    Args:
        counts: of connections in each batch.
        others_wait: more is due than was claimed, or than the workers have taken so far: then at once.
    """
    rate = max(sum(counts) / SPREAD, SLOWEST)
    return [0.0 if others_wait else count / rate for count in counts]
