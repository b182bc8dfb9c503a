"""Who a token speaks for: userinfo, the identity URL and the discovery document."""

from __future__ import annotations

from typing import Any

from .http import Request, Response, respond_json, respond_word
from .oauth import identity_url_of
from .records import AccessToken
from .world import World


class People:
    """The endpoints that describe a user. A dead token gets 403 and plain text, not the REST API's 401."""

    def __init__(self, world: World) -> None:
        self.world = world

    def userinfo(self, request: Request) -> Response:
        token = self.world.live_access_token(request.bearer)
        if token is None:
            return _bad_token(request)
        user = token.approval.user
        return respond_json(
            {
                "sub": identity_url_of(self.world, token.approval),
                "preferred_username": user.username,
                "nickname": user.username.partition("@")[0],
                "picture": f"{self._instance(token)}/profilephoto/005/F",
                "updated_at": "2026-01-05T09:30:00Z",
                "is_salesforce_integration_user": False,
                **self._person(token, names=("name", "email", "email_verified", "zoneinfo")),
            }
        )

    def identity(self, request: Request) -> Response:
        token = self.world.live_access_token(request.bearer)
        if token is None:
            return _bad_token(request)
        user = token.approval.user
        if request.path != f"/id/{user.org.id}/{user.id}":
            return respond_word("Bad_Id", status=404)
        return respond_json(
            {
                "id": identity_url_of(self.world, token.approval),
                "asserted_user": True,
                "username": user.username,
                "nick_name": user.username.partition("@")[0],
                "status": {"created_date": None, "body": None},
                "is_app_installed": True,
                "last_modified_date": "2026-01-05T09:30:00Z",
                **self._person(token, names=("display_name", "email", "email_verified", "timezone")),
            }
        )

    def configuration(self, request: Request) -> Response:
        """The discovery document of the host that is asked."""
        base = self.world.base_url(request.host)
        return respond_json(
            {
                "issuer": base,
                "authorization_endpoint": f"{base}/services/oauth2/authorize",
                "token_endpoint": f"{base}/services/oauth2/token",
                "revocation_endpoint": f"{base}/services/oauth2/revoke",
                "introspection_endpoint": f"{base}/services/oauth2/introspect",
                "userinfo_endpoint": f"{base}/services/oauth2/userinfo",
                "scopes_supported": ["api", "full", "id", "openid", "offline_access", "refresh_token", "web"],
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    def _instance(self, token: AccessToken) -> str:
        return self.world.base_url(token.approval.user.org.instance_host)

    def _person(self, token: AccessToken, *, names: tuple[str, str, str, str]) -> dict[str, Any]:
        """What both endpoints say; four of the facts under names of their own."""
        user = token.approval.user
        first, _, last = user.name.partition(" ")
        called = dict(zip(names, (user.name, user.email, True, "Europe/Berlin"), strict=True))
        return {
            "user_id": user.id,
            "organization_id": user.org.id,
            "given_name" if "name" in called else "first_name": first,
            "family_name" if "name" in called else "last_name": last,
            "active": user.active,
            "user_type": "STANDARD",
            "language": "en_US",
            "locale": "en_US",
            "utcOffset": 3600000,
            "urls": {"rest": f"{self._instance(token)}/services/data/v{{version}}/"},
            **called,
        }


def _bad_token(request: Request) -> Response:
    word = "Bad_OAuth_Token" if request.bearer else "Missing_OAuth_Token"
    return respond_word(word, status=403)
