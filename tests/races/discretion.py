"""A site that is watched: whatever a test does to it, none of its processes writes a secret."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings as django_settings

from .site import Site, open_site

__all__ = ["discreet_site"]


@contextmanager
def discreet_site(settings: Any, caplog: pytest.LogCaptureFixture) -> Iterator[Site]:
    """As `open_site`; in the end it looks at all that was logged, at DEBUG, and printed."""
    caplog.set_level(logging.DEBUG)
    with open_site(settings) as site:
        yield site

    said = "\n".join([*site.said, caplog.text])
    assert [secret for secret in _secrets_of(site) if secret in said] == []


def _secrets_of(site: Site) -> list[str]:
    world = site.fake.world
    consumer_secrets = [secret for app in world.apps.values() for secret in app.secrets]
    return [*world.access_tokens, *world.refresh_tokens, *consumer_secrets, *django_settings.FERNET_KEYS]
