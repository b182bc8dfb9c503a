from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from django_sf_oauth.models import SalesforceConnection
from tests.races.discretion import discreet_site
from tests.races.site import Site


@pytest.fixture
def site(settings: Any, caplog: pytest.LogCaptureFixture) -> Iterator[Site]:
    with discreet_site(settings, caplog) as site:
        yield site


@pytest.fixture
def row(site: Site) -> SalesforceConnection:
    return site.connect()
