"""What Salesforce says when it refuses, word for word.

From Salesforce's help pages on OAuth errors and, where these are silent, from reports of those who met them.
"""

from __future__ import annotations

from dataclasses import dataclass

from oauthlib.common import Request as OAuthRequest
from oauthlib.oauth2.rfc6749.errors import FatalClientError, OAuth2Error

from .records import Bar


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """The `error` and `error_description` of an answer. The token endpoint's status is 400 for nearly all."""

    error: str
    description: str


def _grant(description: str) -> Said:
    return Said(error="invalid_grant", description=description)


# The same text for a revoked, an expired, a rotated token, and for the right token at the wrong host.
DEAD_TOKEN = _grant("expired access/refresh token")
VALIDITY_EXPIRED = _grant("token validity expired")
IN_PROCESS = _grant("token request is already being processed")
CODE_EXPIRED = _grant("expired authorization code")
CODE_INVALID = _grant("invalid authorization code")
BAD_VERIFIER = _grant("invalid code verifier")
UNEXPECTED_VERIFIER = _grant("unexpected code verifier")
INACTIVE_USER = _grant("inactive user")
INACTIVE_ORG = _grant("inactive organization")
IP_RESTRICTED = _grant("ip restricted")

UNKNOWN_CLIENT = Said(error="invalid_client_id", description="client identifier invalid")
BAD_CREDENTIALS = Said(error="invalid_client", description="invalid client credentials")
BAD_SCOPE = Said(error="invalid_scope", description="the requested scope is not allowed")
SCOPE_ON_REFRESH = Said(error="invalid_request", description="scope parameter not supported")
BAD_REDIRECT = Said(error="redirect_uri_mismatch", description="redirect_uri must match configuration")
NO_REDIRECT = Said(error="redirect_uri_missing", description="missing required redirect_uri")
NO_CHALLENGE = Said(error="invalid_request", description="missing required code challenge")
BAD_CHALLENGE_METHOD = Said(error="invalid_request", description="invalid code challenge method")
UNREADABLE = Said(error="invalid_request", description="malformed request")
UNKNOWN_TOKEN = Said(error="invalid_token", description="invalid token")
DENIED = Said(error="access_denied", description="end-user denied authorization")
NEEDS_PERSON = Said(error="immediate_unsuccessful", description="immediate unsuccessful")

BARRED_AT_TOKEN = {
    Bar.BLOCKED: Said(error="app_blocked", description="this app is blocked by admin"),
    Bar.NOT_INSTALLED: Said(error="app_not_found", description="External client app is not installed in this org"),
    Bar.NOT_APPROVED: Said(
        error="invalid_app_access", description="user is not admin approved to access this app"
    ),
}
# The callback gets other words for the same than the token endpoint gives, some in capitals.
BARRED_AT_AUTHORIZE = {
    Bar.BLOCKED: Said(error="OAUTH_APP_BLOCKED", description="this app is blocked by admin"),
    Bar.NOT_INSTALLED: Said(error="invalid_client", description="app must be installed into org"),
    Bar.NOT_APPROVED: Said(
        error="OAUTH_APP_ACCESS_DENIED", description="user is not admin approved to access this app"
    ),
}


class Refused(OAuth2Error):
    """Makes oauthlib answer with Salesforce's words: as an answer, or on the way back to the site."""

    def __init__(self, said: Said, request: OAuthRequest | None = None) -> None:
        self.error = said.error
        super().__init__(description=said.description, request=request)


class RefusedOnOwnPage(FatalClientError, Refused):
    """Shown on Salesforce's own page: no callback comes, for the address of the site cannot be trusted."""
