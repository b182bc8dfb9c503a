"""Salesforce's token, revoke and introspect endpoints, on oauthlib's server side."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from oauthlib.oauth2 import RevocationEndpoint, WebApplicationServer
from oauthlib.oauth2.rfc6749.errors import OAuth2Error
from oauthlib.oauth2.rfc6749.grant_types import AuthorizationCodeGrant

from django_sf_oauth.protocol.identity import sign

from . import formats, mint, refusals
from .authorization_rules import REFRESH_SCOPES, OAuthRequest, signing_secret
from .http import Request, Response, respond_word
from .records import Approval
from .refusals import Refused, Said
from .validator import RevocationValidator, SalesforceValidator
from .world import World

# oauthlib's own refusal has no words.
DEFAULT_DESCRIPTIONS = {"unsupported_grant_type": "grant type not supported"}


class CodeGrant(AuthorizationCodeGrant):
    """The web server flow with Salesforce's PKCE, which rejects a ``~`` although RFC 7636 allows it."""

    def validate_code_challenge(self, challenge: str, challenge_method: str, verifier: str) -> bool:
        if "~" in verifier or not super().validate_code_challenge(challenge, challenge_method, verifier):
            raise Refused(refusals.BAD_VERIFIER)
        return True


class SalesforceServer(WebApplicationServer):
    """oauthlib's server, with the answers dressed as Salesforce's."""

    def __init__(self, world: World) -> None:
        self.world = world
        validator = SalesforceValidator(world)
        super().__init__(
            validator,
            token_generator=_new_access_token,
            refresh_token_generator=lambda request: mint.refresh_token(),
        )
        code_grant: Any = CodeGrant(validator)
        code_grant.register_code_modifier(lambda grant, *_: {**grant, "code": mint.authorization_code()})
        code_grant.custom_validators.pre_auth.append(validator.require_s256)
        for grant in (code_grant, self.refresh_grant):
            grant.register_token_modifier(self.dress)
        self.response_types["code"] = self.grant_types["authorization_code"] = code_grant

    def dress(self, token: dict[str, Any], handler: object, request: OAuthRequest) -> dict[str, Any]:
        """Adds what Salesforce adds, and leaves out `expires_in`, which it never sends.

        A refresh token comes only with the scope for it, and on a refresh only when it is being rotated.
        """
        kept = {"access_token", "refresh_token", "scope", "token_type"}
        if token["refresh_token"] == request.refresh_token or not REFRESH_SCOPES & set(request.scopes):
            kept.remove("refresh_token")
        return {
            **{name: value for name, value in token.items() if name in kept},
            **_signed_identity(self.world, request.approval, request.signing_secret),
        }


def _new_access_token(request: OAuthRequest) -> str:
    return mint.access_token(request.user.org.id)


def _signed_identity(world: World, approval: Approval, secret: str) -> dict[str, str]:
    issued_at = str(int(world.now() * 1000))
    identity_url = identity_url_of(world, approval)
    return {
        "instance_url": world.base_url(approval.user.org.instance_host),
        "id": identity_url,
        "issued_at": issued_at,
        "signature": sign(secret, identity_url, issued_at),
    }


def identity_url_of(world: World, approval: Approval) -> str:
    user = approval.user
    return f"{world.base_url(approval.login_host)}/id/{user.org.id}/{user.id}"


class TokenEndpoints:
    """The endpoints that programs talk to.

    Args:
        world: the state.
        pause: called between the claim of a refresh token and its use, while no lock is held.
    """

    def __init__(self, world: World, *, pause: Callable[[], None]) -> None:
        self.world = world
        self.server = SalesforceServer(world)
        self.revocation = RevocationEndpoint(RevocationValidator(world))
        self._pause = pause

    def token(self, request: Request) -> Response:
        """Exchanges a code or a refresh token; of two requests in flight for one token, the later is refused."""
        refresh_token = request.form.get("refresh_token", "")
        if not refresh_token:
            return self._token(request)
        if not self.world.claim(refresh_token):
            return refuse(request, refusals.IN_PROCESS)
        try:
            return self._token(request)
        finally:
            self.world.release(refresh_token)

    def _token(self, request: Request) -> Response:
        self._pause()
        return self._run(self.server.create_token_response, request)

    def issue(self, approval: Approval) -> dict[str, str]:
        """The values of an answer with new tokens, as the exchange of the approval's code would give."""
        access = mint.access_token(approval.user.org.id)
        self.world.new_access_token(access, approval)
        values = {"access_token": access, "scope": " ".join(approval.scopes), "token_type": "Bearer"}
        if REFRESH_SCOPES & set(approval.scopes):
            values["refresh_token"] = self.world.new_refresh_token(mint.refresh_token(), approval).value
        return {**values, **_signed_identity(self.world, approval, signing_secret(approval.app))}

    def revoke(self, request: Request) -> Response:
        """Ends an access token, or a refresh token with all of its own. The wrong host says 404 ``Bad_Id``."""
        if self._belongs_elsewhere(request.form.get("token", ""), request.host):
            return respond_word("Bad_Id", status=404)
        return self._run(self.revocation.create_revocation_response, request, default="urlencoded")

    def introspect(self, request: Request) -> Response:
        return self._run(self.server.create_introspect_response, request)

    def _belongs_elsewhere(self, token: str, host: str) -> bool:
        found = self.world.refresh_tokens.get(token) or self.world.access_tokens.get(token)
        return found is not None and found.approval.login_host != host

    def _run(self, endpoint: Callable[..., Any], request: Request, *, default: str = "json") -> Response:
        try:
            with self.world.lock:
                _, body, status = endpoint(
                    request.url, http_method=request.method, body=request.body, headers=dict(request.headers)
                )
        except OAuth2Error as error:
            return refuse(request, Said(error=str(error.error), description=error.description), default=default)
        except ValueError:  # a query that is not form-encoded
            return refuse(request, refusals.UNREADABLE, default=default)
        values = json.loads(body or "{}")
        if "error" in values:
            said = Said(error=values["error"], description=values.get("error_description", ""))
            return refuse(request, said, default=default)
        return formats.answer(request, values, status=status, default=default)


def refuse(request: Request, said: Said, *, default: str = "json") -> Response:
    values = {
        "error": said.error,
        "error_description": said.description or DEFAULT_DESCRIPTIONS.get(said.error, ""),
    }
    return formats.answer(request, values, status=400, default=default)
