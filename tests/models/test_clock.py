from __future__ import annotations

import time

import pytest
from django.db import connection

from django_sf_oauth.models import Hold
from django_sf_oauth.models.clock import DatabaseClock


def compiled(vendor: str) -> str:
    compiler = Hold.objects.all().query.get_compiler("default")
    sql, _params = getattr(DatabaseClock(), f"as_{vendor}")(compiler, connection)
    return str(sql)


@pytest.mark.parametrize("vendor", ["postgresql", "mysql", "sqlite"])
def test_each_database_reads_its_own_clock(vendor: str) -> None:
    own = {"postgresql": "clock_timestamp()", "mysql": "UTC_TIMESTAMP(6)", "sqlite": "julianday('now')"}

    assert own[vendor] in compiled(vendor)


@pytest.mark.django_db
def test_the_clock_counts_milliseconds() -> None:
    Hold.objects.create(scope="all", reason="kill_switch")

    now = Hold.objects.annotate(now=DatabaseClock()).values_list("now", flat=True)[0]

    assert abs(now / 1000 - time.time()) < 60
