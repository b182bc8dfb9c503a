"""What the endpoints beside the token endpoint answer, as checked values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django_sf_oauth.protocol.api import read_api_failure
from django_sf_oauth.protocol.errors import Actor, Refusal, read_refusal, transport_refusal
from django_sf_oauth.protocol.formats import read_fields
from django_sf_oauth.protocol.identity import to_18

from .session import Answer

__all__ = ["Introspection", "Revoked", "Userinfo", "read_introspection", "read_revocation", "read_userinfo"]

LAST_SECOND = 253_402_300_799  # of the year 9999, beyond which no datetime goes


@dataclass(frozen=True, kw_only=True, slots=True)
class Revoked:
    """The token is dead.

    Attributes:
        already: it was dead before.
    """

    already: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Userinfo:
    """The Salesforce user of an access token.

    Attributes:
        organization_id: 18 characters.
        user_id: 18 characters.
        username: what the user logs in with; unique over all orgs, and often no working e-mail address.
        name: to show to people.
    """

    organization_id: str
    user_id: str
    username: str
    name: str = ""
    email: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Introspection:
    """What Salesforce knows of a token (RFC 7662 section 2.2). All but `active` is empty for a dead one.

    Attributes:
        exp: epoch seconds; a floor for an access token, since each use of the session moves it on.
        iat: epoch seconds.
    """

    active: bool
    exp: int | None = None
    iat: int | None = None
    scopes: tuple[str, ...] = ()
    username: str = ""


def read_revocation(answer: Answer) -> Revoked | Refusal:
    """Reads an answer of ``/services/oauth2/revoke``, which has no useful body when it succeeds."""
    if answer.status == 200:
        return Revoked()
    refusal = read_refusal(
        status=answer.status,
        content_type=answer.content_type,
        body=answer.body,
        grant="revoke",
        retry_after=answer.retry_after,
    )
    return Revoked(already=True) if refusal.reason == "invalid_token" else refusal


def read_userinfo(answer: Answer) -> Userinfo | Refusal:
    """Reads an answer of ``/services/oauth2/userinfo``."""
    if answer.status != 200:
        return _userinfo_refusal(answer)
    fields = read_fields(answer.content_type, answer.body) or {}
    try:
        return Userinfo(
            organization_id=to_18(_text(fields, "organization_id")),
            user_id=to_18(_text(fields, "user_id")),
            username=_text(fields, "preferred_username"),
            name=_text(fields, "name"),
            email=_text(fields, "email"),
        )
    except ValueError:
        return transport_refusal("malformed_answer", status=answer.status)


def _userinfo_refusal(answer: Answer) -> Refusal:
    failure = read_api_failure(status=answer.status, content_type=answer.content_type, body=answer.body)
    if failure.kind == "expired":
        return Refusal(actor=Actor.NOBODY, reason="session_expired", status=answer.status)
    if failure.kind in {"forbidden", "not_refreshable"}:
        return Refusal(actor=Actor.UNKNOWN, reason=failure.kind, status=answer.status)
    reason = "rate_limited" if failure.kind == "limit" else "server_error"
    return transport_refusal(reason, status=answer.status, retry_after=answer.retry_after)


def read_introspection(answer: Answer) -> Introspection | Refusal:
    """Reads an answer of ``/services/oauth2/introspect``."""
    fields = read_fields(answer.content_type, answer.body) or {}
    active = fields.get("active")
    if answer.status != 200 or not isinstance(active, bool):
        return read_refusal(
            status=answer.status,
            content_type=answer.content_type,
            body=answer.body,
            grant="introspect",
            retry_after=answer.retry_after,
        )
    return Introspection(
        active=active,
        exp=_epoch(fields, "exp"),
        iat=_epoch(fields, "iat"),
        scopes=tuple(_text(fields, "scope").split()),
        username=_text(fields, "username"),
    )


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _epoch(fields: Mapping[str, Any], name: str) -> int | None:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LAST_SECOND:
        return None
    return value
