from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings

from django_sf_oauth.models import SalesforceConnection
from tests.races.site import Site, open_site


@pytest.fixture
def site(settings: Any, caplog: pytest.LogCaptureFixture) -> Iterator[Site]:
    """A site; whatever a test does to it, none of its processes writes a secret."""
    caplog.set_level(logging.DEBUG)
    with open_site(settings) as site:
        yield site

    said = "\n".join([*site.said, caplog.text])
    assert [secret for secret in secrets_of(site) if secret in said] == []


def secrets_of(site: Site) -> list[str]:
    world = site.fake.world
    consumer_secrets = [secret for app in world.apps.values() for secret in app.secrets]
    return [*world.access_tokens, *world.refresh_tokens, *consumer_secrets, *django_settings.FERNET_KEYS]


@pytest.fixture
def row(site: Site) -> SalesforceConnection:
    return site.connect()
