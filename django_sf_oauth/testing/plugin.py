"""Fixtures for projects that use django_sf_oauth. pytest loads this in every run, so it imports next to nothing.

- ``fake_salesforce``: a `FakeSalesforce` that knows the apps of your settings and answers every request that
  django_sf_oauth makes during the test.
- ``salesforce_connection``: an active connection of a fresh Django user to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django_sf_oauth.models import SalesforceConnection

    from .fake import FakeSalesforce


@pytest.fixture
def fake_salesforce() -> Iterator[FakeSalesforce]:
    """A fake Salesforce with one org and one user, plugged in for the length of the test."""
    from .from_settings import fake_in_process

    with fake_in_process().active() as fake:
        yield fake


@pytest.fixture
def salesforce_connection(fake_salesforce: FakeSalesforce, db: None) -> SalesforceConnection:
    """A stored, active connection to `fake_salesforce`, of a Django user made for it."""
    from .from_settings import connect

    return connect(fake_salesforce)
