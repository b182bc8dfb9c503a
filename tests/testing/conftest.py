from __future__ import annotations

from collections.abc import Iterator

import pytest

from django_sf_oauth.testing import FakeSalesforce

from .site import Site

NOW = 1_700_000_000.0


@pytest.fixture
def naps() -> list[float]:
    """The seconds that the fake would have slept."""
    return []


@pytest.fixture
def fake(naps: list[float]) -> FakeSalesforce:
    return FakeSalesforce(clock=lambda: NOW, sleep=naps.append)


@pytest.fixture
def site(fake: FakeSalesforce) -> Iterator[Site]:
    with Site(fake) as site:
        yield site
