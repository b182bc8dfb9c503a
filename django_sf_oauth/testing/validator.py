"""Whether a code or a refresh token is good, and what comes of it."""

from __future__ import annotations

from typing import Any

from . import refusals
from .authorization_rules import AuthorizationRules, OAuthRequest
from .http import host_of
from .records import AccessToken, Approval, RefreshToken, Replay
from .refusals import Refused, Said
from .world import CODE_LIFETIME


class SalesforceValidator(AuthorizationRules):
    """Judges codes and tokens, and reads and changes the world on behalf of oauthlib's endpoints.

    Adds to oauthlib's request: ``approval``, under which the tokens are issued.
    """

    # The code

    def validate_code(
        self, client_id: str, code: str, client: Any, request: OAuthRequest, *args: Any, **kwargs: Any
    ) -> bool:
        found = self.world.codes.get(code)
        if found is None or found.approval.app is not client or found.approval.login_host != host_of(request.uri):
            raise Refused(refusals.CODE_INVALID)
        if found.used or self.world.now() > found.issued_at + CODE_LIFETIME:
            raise Refused(refusals.CODE_EXPIRED)
        self._admit(found.approval, request)
        return True

    def get_code_challenge(self, code: str, request: OAuthRequest) -> str | None:  # type: ignore[override]  # oauthlib takes None for "no PKCE"; its stubs do not say so
        challenge, verifier = self.world.codes[code].challenge, request.code_verifier
        if challenge and not verifier:
            raise Refused(refusals.BAD_VERIFIER)
        if verifier and not challenge:
            raise Refused(refusals.UNEXPECTED_VERIFIER)
        return challenge

    def get_code_challenge_method(self, code: str, request: OAuthRequest) -> str:
        return "S256"

    def confirm_redirect_uri(
        self,
        client_id: str,
        code: str,
        redirect_uri: str,
        client: Any,
        request: OAuthRequest,
        *args: Any,
        **kwargs: Any,
    ) -> bool:
        if redirect_uri != self.world.codes[code].redirect_uri:
            raise Refused(refusals.BAD_REDIRECT)
        return True

    def invalidate_authorization_code(
        self, client_id: str, code: str, request: OAuthRequest, *args: Any, **kwargs: Any
    ) -> None:
        self.world.codes[code].used = True

    # The refresh token

    def validate_refresh_token(
        self, refresh_token: str, client: Any, request: OAuthRequest, *args: Any, **kwargs: Any
    ) -> bool:
        if request.scope:
            raise Refused(refusals.SCOPE_ON_REFRESH)
        found = self.world.refresh_tokens.get(refresh_token)
        if found is None or found.approval.app is not client or found.approval.login_host != host_of(request.uri):
            raise Refused(refusals.DEAD_TOKEN)
        self._refuse_replay(found)
        self._refuse_aged(found)
        self._admit(found.approval, request)
        return True

    def get_original_scopes(
        self, refresh_token: str, request: OAuthRequest, *args: Any, **kwargs: Any
    ) -> list[str]:
        return list(request.approval.scopes)

    def rotate_refresh_token(self, request: OAuthRequest) -> bool:
        return bool(request.client.rotation)

    def _refuse_replay(self, token: RefreshToken) -> None:
        if token.rotated:
            if token.approval.app.replay is Replay.REVOKES_FAMILY:
                token.approval.revoked = True
            raise Refused(refusals.DEAD_TOKEN)

    def _refuse_aged(self, token: RefreshToken) -> None:
        app, now = token.approval.app, self.world.now()
        if app.refresh_idle is not None and now - token.approval.used_at > app.refresh_idle:
            raise Refused(refusals.DEAD_TOKEN)
        if app.refresh_lifetime is not None and now - token.approval.granted_at > app.refresh_lifetime:
            raise Refused(refusals.VALIDITY_EXPIRED)

    # The tokens

    def _admit(self, approval: Approval, request: OAuthRequest) -> None:
        if said := _objection(approval):
            raise Refused(said)
        request.approval, request.user, request.scopes = approval, approval.user, list(approval.scopes)

    def save_bearer_token(self, token: Any, request: OAuthRequest, *args: Any, **kwargs: Any) -> None:
        self.world.new_access_token(token["access_token"], request.approval)
        if "refresh_token" in token:
            self.world.new_refresh_token(token["refresh_token"], request.approval)

    def introspect_token(
        self, token: str, token_type_hint: str, request: OAuthRequest, *args: Any, **kwargs: Any
    ) -> dict[str, Any] | None:
        access = self.world.live_access_token(token)
        if access and access.approval.app is request.client:
            return {**_claims(access.approval), **_times(access)}
        refresh = self.world.refresh_tokens.get(token)
        if refresh and _is_current(refresh) and refresh.approval.app is request.client:
            return _claims(refresh.approval)
        return None


class RevocationValidator(SalesforceValidator):
    """Revocation asks no client to authenticate: whoever holds a token may end it."""

    def client_authentication_required(self, request: OAuthRequest, *args: Any, **kwargs: Any) -> bool:
        return False

    def authenticate_client_id(self, client_id: str, request: OAuthRequest, *args: Any, **kwargs: Any) -> bool:
        return True

    def revoke_token(
        self, token: str, token_type_hint: str, request: OAuthRequest, *args: Any, **kwargs: Any
    ) -> None:
        access = self.world.live_access_token(token)
        refresh = self.world.refresh_tokens.get(token)
        if access:
            access.ended = True
        elif refresh and _is_current(refresh):
            refresh.approval.revoked = True
        else:
            raise Refused(refusals.UNKNOWN_TOKEN)


def _is_current(token: RefreshToken) -> bool:
    return not token.rotated and not token.approval.revoked


def _objection(approval: Approval) -> Said | None:
    """What stands against issuing tokens under the approval now."""
    bar = approval.app.bar_in(approval.user.org)
    objections = {
        refusals.DEAD_TOKEN: approval.revoked,
        refusals.INACTIVE_ORG: not approval.user.org.active,
        refusals.INACTIVE_USER: not approval.user.active,
        refusals.IP_RESTRICTED: approval.user.org.ip_restricted,
    }
    if bar:
        return refusals.BARRED_AT_TOKEN[bar]
    return next((said for said, stands in objections.items() if stands), None)


def _claims(approval: Approval) -> dict[str, Any]:
    return {
        "scope": " ".join(approval.scopes),
        "client_id": approval.app.client_id,
        "username": approval.user.username,
        "sub": approval.user.id,
        "token_type": "Bearer",
    }


def _times(token: AccessToken) -> dict[str, int]:
    """Epoch seconds. The life is an idle timeout, so `exp` is the earliest end, not the last."""
    return {"exp": int(token.expires_at), "iat": int(token.issued_at), "nbf": int(token.issued_at)}
