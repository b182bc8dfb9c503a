"""What can be asked of the authorization host, one function each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from django.views.decorators.debug import sensitive_variables

from django_sf_oauth.conf import AppSettings
from django_sf_oauth.exceptions import ConfigurationError
from django_sf_oauth.protocol.errors import Grant, Refusal
from django_sf_oauth.protocol.hosts import is_trusted_url
from django_sf_oauth.protocol.tokens import TokenAnswer, read_answer

from .answers import Introspection, Revoked, Userinfo, read_introspection, read_revocation, read_userinfo
from .opaque import opaque
from .session import Answer, ExchangeSession

__all__ = ["exchange_code", "introspect", "refresh", "revoke", "userinfo"]

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105  a path
REVOKE_PATH = "/services/oauth2/revoke"
USERINFO_PATH = "/services/oauth2/userinfo"
INTROSPECT_PATH = "/services/oauth2/introspect"

# `format` in the body beats `Accept` at Salesforce; what stands in front of it knows only the header.
# An answer of two thousand bytes need not be compressed.
HEADERS: Mapping[str, str] = {"Accept": "application/json", "Accept-Encoding": "identity"}

# The one refusal that comes before the grant is looked at, so that it is not spent.
WRONG_SECRET = "invalid_client"  # noqa: S105  a reason

T = TypeVar("T")
Ask = Callable[[ExchangeSession], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Endpoint:
    """One URL, asked once or, while the consumer secret is being rotated, a few times within one deadline."""

    app: AppSettings
    url: str
    deadline: float

    @sensitive_variables()
    def ask(self, ask: Ask, read: Callable[[Answer], T | Refusal]) -> T | Refusal:
        session = ExchangeSession(
            client_id=self.app.client_id,
            endpoint=self.url,
            connect=self.app.timeouts.connect,
            deadline=self.deadline,
        )
        answer = session.run(ask)
        return answer if isinstance(answer, Refusal) else read(answer)

    @sensitive_variables()
    def ask_as_client(
        self, ask_with: Callable[[str | None], Ask], read: Callable[[Answer], T | Refusal]
    ) -> T | Refusal:
        """Tries the secrets, newest first. A public client has none."""
        newest, *older = self.app.client_secrets or (None,)
        outcome = self.ask(ask_with(newest), read)
        for secret in older:
            if not (isinstance(outcome, Refusal) and outcome.reason == WRONG_SECRET):
                break
            outcome = self.ask(ask_with(secret), read)
        return outcome


def _endpoint(app: AppSettings, login_url: str, path: str) -> _Endpoint:
    if not _may_be_asked(login_url, app.trusted_hosts):
        raise ConfigurationError(
            f"The login URL of the app {app.alias!r} is not one of Salesforce or of TRUSTED_HOSTS.",
            code="untrusted_host",
        )
    return _Endpoint(app=app, url=login_url.rstrip("/") + path, deadline=time.monotonic() + app.timeouts.total)


@lru_cache(maxsize=1024)
def _may_be_asked(login_url: str, trusted_hosts: tuple[str, ...]) -> bool:
    # The path of an Experience Cloud site stays; a query or fragment would swallow ours.
    return is_trusted_url(login_url, trusted_hosts) and "?" not in login_url and "#" not in login_url


@opaque
@sensitive_variables()
def exchange_code(
    app: AppSettings, *, login_url: str, code: str, code_verifier: str, redirect_uri: str
) -> TokenAnswer | Refusal:
    """Exchanges an authorization code for tokens (RFC 6749 section 4.1.3, RFC 7636 section 4.5).

    Args:
        login_url: where the user logged in.
        redirect_uri: exactly as in the authorization request.

    Raises:
        ConfigurationError: `login_url` is not to be trusted with a secret. The same holds for all operations.
    """

    def ask_with(secret: str | None) -> Ask:
        def ask(session: ExchangeSession) -> None:
            session.redirect_uri = redirect_uri
            session.fetch_token(
                session.url,
                code=code,
                code_verifier=code_verifier,
                include_client_id=True,
                client_secret=secret,
                headers=HEADERS,
                format="json",
            )

        return ask

    return _endpoint(app, login_url, TOKEN_PATH).ask_as_client(ask_with, _tokens("authorization_code"))


@opaque
@sensitive_variables()
def refresh(app: AppSettings, *, login_url: str, refresh_token: str) -> TokenAnswer | Refusal:
    """Spends a refresh token (RFC 6749 section 6), without ``scope``, which Salesforce does not take here.

    Args:
        login_url: the host that authorized; another one answers as if the grant were revoked.
    """

    def ask_with(secret: str | None) -> Ask:
        client = {"client_id": app.client_id, "client_secret": secret}
        return lambda session: session.spend(refresh_token, headers=HEADERS, format="json", **client)

    return _endpoint(app, login_url, TOKEN_PATH).ask_as_client(ask_with, _tokens("refresh_token"))


@opaque
@sensitive_variables()
def revoke(app: AppSettings, *, login_url: str, token: str) -> Revoked | Refusal:
    """Revokes a refresh token with all its access tokens, or one access token (RFC 7009).

    The token alone is sent, in the body: Salesforce asks for no client authentication, and logs URLs.
    """
    return _endpoint(app, login_url, REVOKE_PATH).ask(
        lambda session: session.post(session.url, data={"token": token}, headers=HEADERS), read_revocation
    )


@opaque
@sensitive_variables()
def userinfo(app: AppSettings, *, login_url: str, access_token: str) -> Userinfo | Refusal:
    """Asks who the user of an access token is (OpenID Connect Core section 5.3)."""
    headers = {**HEADERS, "Authorization": f"Bearer {access_token}"}
    return _endpoint(app, login_url, USERINFO_PATH).ask(
        lambda session: session.get(session.url, headers=headers), read_userinfo
    )


@opaque
@sensitive_variables()
def introspect(app: AppSettings, *, login_url: str, token: str, token_type_hint: str) -> Introspection | Refusal:
    """Asks whether a token lives, and until when (RFC 7662).

    Args:
        token_type_hint: ``access_token`` or ``refresh_token``.
    """

    def ask_with(secret: str | None) -> Ask:
        data = _present(
            token=token, token_type_hint=token_type_hint, client_id=app.client_id, client_secret=secret
        )
        return lambda session: session.post(session.url, data=data, headers=HEADERS)

    return _endpoint(app, login_url, INTROSPECT_PATH).ask_as_client(ask_with, read_introspection)


def _tokens(grant: Grant) -> Callable[[Answer], TokenAnswer | Refusal]:
    return lambda answer: read_answer(
        status=answer.status,
        content_type=answer.content_type,
        body=answer.body,
        grant=grant,
        retry_after=answer.retry_after,
    )


def _present(**fields: str | None) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
