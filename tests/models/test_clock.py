from __future__ import annotations

import time

import pytest

from django_sf_oauth.models import Hold
from django_sf_oauth.models.clock import DatabaseClock


@pytest.mark.django_db
def test_the_clock_counts_milliseconds() -> None:
    Hold.objects.create(scope="all", reason="kill_switch")

    now = Hold.objects.annotate(now=DatabaseClock()).values_list("now", flat=True)[0]

    assert abs(now / 1000 - time.time()) < 60
