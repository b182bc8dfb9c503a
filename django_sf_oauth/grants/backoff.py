"""How long to wait before the next try."""

from __future__ import annotations

__all__ = ["full_jitter"]


def full_jitter(factor: int, step: int, ceiling: int) -> float:
    """Seconds, drawn evenly between 0 and ``factor * 2 ** step``, at most `ceiling`."""
    # Imported when a try has failed: it would cost every start of a process 0.4 s.
    from celery.utils.time import get_exponential_backoff_interval

    return float(get_exponential_backoff_interval(factor, step, ceiling, full_jitter=True))
