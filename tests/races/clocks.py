"""A machine whose clock is wrong."""

from __future__ import annotations

import time
from datetime import timedelta

from django.utils import timezone

__all__ = ["shift_clocks"]


def shift_clocks(seconds: float) -> None:
    """Makes this process's clocks fast, before anything has taken a reference to them."""
    real_now, real_time = timezone.now, time.time
    timezone.now = lambda: real_now() + timedelta(seconds=seconds)
    time.time = lambda: real_time() + seconds
