"""Everything that can go wrong, in one tree.

::

    SalesforceOAuthError
    ├── ConfigurationError        the site's own setup: an operator mends it (also ImproperlyConfigured)
    ├── NotConnected              this user has no live connection
    │   └── ReconnectRequired     they had one: they must press Reconnect (reconnect_url)
    ├── AccessBlocked             the customer's Salesforce admin must act
    ├── MissingScopes             connected, but without a scope that is needed
    ├── TemporarilyUnavailable    try again later (retry_after, seconds)
    ├── ConnectFailed             this attempt to connect ended without a connection
    └── TokenUnreadable           no key opens the stored ciphertext

No token, secret, code, verifier or response body ever enters ``args``, ``repr`` or ``__cause__``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured

__all__ = [
    "AccessBlocked",
    "ConfigurationError",
    "ConnectFailed",
    "MissingScopes",
    "NotConnected",
    "ReconnectRequired",
    "SalesforceOAuthError",
    "TemporarilyUnavailable",
    "TokenUnreadable",
]


class SalesforceOAuthError(Exception):
    """The base of all errors of this package.

    Attributes:
        code: stable, for programs: ``"not_connected"``, ``"revoked"``, …
        retryable: whether the same call can succeed later without anybody acting.
        user_message: one plain sentence for the end user.
        connection_id: public uuid of the connection concerned, when there is one.
    """

    code: str = "error"
    retryable: ClassVar[bool] = False
    default_message: ClassVar[str] = "Something went wrong with the Salesforce connection."

    def __init__(
        self,
        message: str = "",
        *,
        code: str = "",
        user_message: str = "",
        connection_id: UUID | None = None,
    ) -> None:
        super().__init__(message or self.default_message)
        self.code = code or type(self).code
        self.user_message = user_message or self.default_message
        self.connection_id = connection_id


class ConfigurationError(SalesforceOAuthError, ImproperlyConfigured):
    """The site's own settings or connected app are wrong; no user can mend it."""

    code = "misconfigured"
    default_message = "This site is not set up correctly for Salesforce. Its operator has to mend it."

    def __init__(self, message: str = "", *, code: str = "", **about: Any) -> None:
        # It is the operator who reads it, in a traceback, and the code is all that tells them what to mend.
        super().__init__(message or (code and f"{self.default_message} ({code})"), code=code, **about)


class NotConnected(SalesforceOAuthError):
    """The user has no usable connection of the kind asked for."""

    code = "not_connected"
    default_message = "You have not connected Salesforce yet."


class ReconnectRequired(NotConnected):
    """Salesforce no longer honours the grant; the user must connect again.

    Attributes:
        reconnect_url: path on this site, for a browser.
    """

    code = "reconnect_required"
    default_message = "Salesforce asks you to connect again."

    def __init__(
        self,
        message: str = "",
        *,
        reconnect_url: str = "",
        code: str = "",
        user_message: str = "",
        connection_id: UUID | None = None,
    ) -> None:
        super().__init__(message, code=code, user_message=user_message, connection_id=connection_id)
        self.reconnect_url = reconnect_url


class AccessBlocked(SalesforceOAuthError):
    """The customer's Salesforce admin must act: connecting again would not help."""

    code = "blocked"
    default_message = "Your Salesforce administrator has to allow this connection."


class MissingScopes(SalesforceOAuthError):
    """The grant lacks a scope that the caller needs.

    Attributes:
        missing: the scopes, as Salesforce names them.
    """

    code = "missing_scopes"
    default_message = "Salesforce did not grant a permission that is needed."

    def __init__(
        self,
        message: str = "",
        *,
        missing: Sequence[str] = (),
        code: str = "",
        user_message: str = "",
        connection_id: UUID | None = None,
    ) -> None:
        super().__init__(message, code=code, user_message=user_message, connection_id=connection_id)
        self.missing = tuple(missing)


class TemporarilyUnavailable(SalesforceOAuthError):
    """Nothing is lost: the same call can succeed later.

    Attributes:
        retry_after: seconds to wait before the next try, when known.
    """

    code = "temporarily_unavailable"
    retryable = True
    default_message = "Salesforce cannot be reached right now. Please try again in a moment."

    def __init__(
        self,
        message: str = "",
        *,
        retry_after: float | None = None,
        code: str = "",
        user_message: str = "",
        connection_id: UUID | None = None,
    ) -> None:
        super().__init__(message, code=code, user_message=user_message, connection_id=connection_id)
        self.retry_after = retry_after


class ConnectFailed(SalesforceOAuthError):
    """The callback ended without a connection; nothing was stored. ``code`` says why."""

    code = "connect_failed"
    default_message = "Salesforce was not connected."


class TokenUnreadable(SalesforceOAuthError):
    """No key in ``FERNET_KEYS`` opens the stored ciphertext, or it belongs to another row."""

    code = "unreadable"
    default_message = "The stored Salesforce token cannot be read with this site's keys."
