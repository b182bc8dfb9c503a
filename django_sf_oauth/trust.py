"""Whether an access token may still be sent to the instance that it is for."""

from __future__ import annotations

from functools import lru_cache

from .conf import get_app
from .exceptions import ConfigurationError
from .protocol.hosts import is_trusted_url

__all__ = ["raise_unless_trusted"]

_is_trusted = lru_cache(maxsize=1024)(is_trusted_url)  # of few URLs, and asked for at each request


def raise_unless_trusted(instance_url: str, app: str) -> None:
    """Looks again at each request: what was trusted when it was stored may have been taken out of the settings.

    Args:
        app: alias of the connected app.

    Raises:
        ConfigurationError: it is neither Salesforce's nor in ``TRUSTED_HOSTS`` (code ``untrusted_host``).
    """
    if not _is_trusted(instance_url, tuple(get_app(app).trusted_hosts)):
        raise ConfigurationError(code="untrusted_host")
