from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from benchmarks.token_endpoint import serving
from tests.brokers.brokers import KINDS, is_missing, open_broker
from tests.brokers.site import Site
from tests.ci import IN_CI

FLEET = int(os.environ.get("FLEET", "300"))


@pytest.fixture
def number() -> int:
    """How many connections are due at once."""
    return FLEET


def one(kind: str) -> Any:
    missing = pytest.mark.skipif(is_missing(kind) and not IN_CI, reason=f"needs {kind}, and the group brokers")
    return pytest.param(kind, marks=missing)


@pytest.fixture(params=[one(kind) for kind in KINDS])
def open_site(request: pytest.FixtureRequest, settings: Any, number: int) -> Iterator[Callable[[float], Site]]:
    """A site whose Salesforce answers after so many seconds. None of its processes writes a token."""
    with ExitStack() as stack:
        broker, app = stack.enter_context(open_broker(request.param))
        sites = []

        def opened(delay: float = 0.1) -> Site:
            endpoint = stack.enter_context(serving(delay))
            settings.SALESFORCE_OAUTH = {
                **settings.SALESFORCE_OAUTH,
                "TRUSTED_HOSTS": [endpoint.url.partition("://")[2]],
                "FLEET_GUARD": {"count": 10**6},  # a killed worker loses many at once
            }
            sites.append(Site(broker=broker, app=app, endpoint=endpoint, batch=max(1, min(500, number // 8))))
            return sites[0]

        yield opened

        said = "\n".join(line for site in sites for line in site.said)
        assert "5Aep861" not in said


@pytest.fixture
def site(open_site: Callable[..., Site]) -> Site:
    return open_site()
