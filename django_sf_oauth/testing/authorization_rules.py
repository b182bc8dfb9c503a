"""Who the client is, and whether its authorization request is right."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Any

from oauthlib.oauth2 import RequestValidator

from . import refusals
from .http import host_of, read_basic
from .records import Code, ConnectedApp
from .refusals import Refused, RefusedOnOwnPage
from .world import World

OAuthRequest = Any  # oauthlib's own, to which endpoints and rules add attributes as they learn more
REFRESH_SCOPES = frozenset({"refresh_token", "offline_access"})
# What the signatures of an app without a consumer secret are made with: nobody can verify them.
UNDISCLOSED = secrets.token_hex(32)


class AuthorizationRules(RequestValidator):
    """The half of the validator that serves the authorization endpoint, and knows the client.

    Adds to oauthlib's request: ``signing_secret``, the consumer secret that signs the answer.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    # The client

    def client_authentication_required(self, request: OAuthRequest, *args: Any, **kwargs: Any) -> bool:
        # Always: a secret that is sent is validated, even where the app does not require one.
        return True

    def authenticate_client(self, request: OAuthRequest, *args: Any, **kwargs: Any) -> bool:
        client_id, secret = read_basic(request.headers.get("Authorization", "")) or (
            request.client_id,
            request.client_secret,
        )
        app = self.world.apps.get(client_id or "")
        if app is None:
            raise Refused(refusals.UNKNOWN_CLIENT)
        if not _secret_is_valid(app, secret):
            raise Refused(refusals.BAD_CREDENTIALS)
        request.client, request.client_id = app, app.client_id
        request.signing_secret = secret or signing_secret(app)
        return True

    def validate_client_id(self, client_id: str, request: OAuthRequest, *args: Any, **kwargs: Any) -> bool:
        request.client = self.world.apps.get(client_id)
        if request.client is None:
            raise RefusedOnOwnPage(refusals.UNKNOWN_CLIENT)
        return True

    def validate_grant_type(self, *args: Any, **kwargs: Any) -> bool:
        return True

    def validate_response_type(self, *args: Any, **kwargs: Any) -> bool:
        return True

    # The authorization request

    def get_default_redirect_uri(self, client_id: str, request: OAuthRequest, *args: Any, **kwargs: Any) -> str:
        raise RefusedOnOwnPage(refusals.NO_REDIRECT)

    def validate_redirect_uri(
        self, client_id: str, redirect_uri: str, request: OAuthRequest, *args: Any, **kwargs: Any
    ) -> bool:
        allowed = request.client.redirect_uris
        if allowed is not None and redirect_uri not in allowed:
            raise RefusedOnOwnPage(refusals.BAD_REDIRECT)
        return True

    def is_pkce_required(self, client_id: str, request: OAuthRequest) -> bool:
        return False  # asked in `require_s256`, which has Salesforce's words for it

    def require_s256(self, request: OAuthRequest) -> Mapping[str, Any]:
        """Runs before oauthlib's own checks. Salesforce knows S256 alone, and takes it when no method is named."""
        if request.client.pkce_required and not request.code_challenge:
            raise Refused(refusals.NO_CHALLENGE, request)
        if request.code_challenge and request.code_challenge_method not in {None, "S256"}:
            raise Refused(refusals.BAD_CHALLENGE_METHOD, request)
        request.code_challenge_method = "S256"
        return {}

    def get_default_scopes(self, client_id: str, request: OAuthRequest, *args: Any, **kwargs: Any) -> list[str]:
        return list(request.client.scopes)

    def validate_scopes(
        self, client_id: str, scopes: list[str], client: Any, request: OAuthRequest, *args: Any, **kwargs: Any
    ) -> bool:
        if not set(scopes) <= _allowed_scopes(client):
            raise Refused(refusals.BAD_SCOPE, request)
        return True

    def save_authorization_code(
        self, client_id: str, code: Any, request: OAuthRequest, *args: Any, **kwargs: Any
    ) -> None:
        # The approval counts from here on, whether or not the code is ever exchanged.
        approval = self.world.approve(
            app=request.client, user=request.user, scopes=tuple(request.scopes), login_host=host_of(request.uri)
        )
        self.world.new_code(
            Code(
                value=code["code"],
                approval=approval,
                redirect_uri=request.redirect_uri,
                issued_at=self.world.now(),
                challenge=request.code_challenge,
                nonce=request.nonce,
            )
        )


def _secret_is_valid(app: ConnectedApp, secret: str | None) -> bool:
    if not secret:
        return not (app.secrets and app.secret_required)
    return any(hmac.compare_digest(secret.encode(), valid.encode()) for valid in app.secrets)


def _allowed_scopes(app: ConnectedApp) -> set[str]:
    """`refresh_token` and `offline_access` are one scope under two names."""
    allowed = set(app.scopes)
    return allowed | REFRESH_SCOPES if allowed & REFRESH_SCOPES else allowed


def signing_secret(app: ConnectedApp) -> str:
    """What signs the answers when the client sent no secret: the newest of the app."""
    return app.secrets[0] if app.secrets else UNDISCLOSED
