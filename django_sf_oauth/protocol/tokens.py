"""The token answer: read once, here, into a checked value (RFC 6749 section 5.1)."""

from __future__ import annotations

import binascii
import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import Grant, Refusal, read_refusal, transport_refusal
from .formats import read_fields

# What may stand in an Authorization header; RFC 6749 appendix A.12, without the blank.
_TOKEN = re.compile(r"[\x21-\x7e]+")
_DIGITS = re.compile(r"[0-9]{1,15}")
_LONGEST_LIFE = 10 * 366 * 24 * 3600
_LAST_SECOND = 253_402_300_799  # of the year 9999, beyond which no datetime goes

_SYNONYMS = {
    "offline_access": "refresh_token",
    "profile": "id",
    "email": "id",
    "address": "id",
    "phone": "id",
}
_INCLUDED_IN = {"chatter_api": "api", "visualforce": "web"}


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenAnswer:
    """What Salesforce granted. Tokens are left out of the repr.

    Attributes:
        refresh_token: None means that the stored one stays valid: a refresh brings one only with rotation.
        instance_url: without a trailing slash; not yet checked by `hosts.is_trusted_url`.
        id: the identity URL, exactly as received, since the signature covers it so.
        issued_at: exactly as received: milliseconds since 1970 as text.
        scopes: what was granted; None when the answer does not say.
        token_format: ``opaque`` or ``jwt``, in newer answers.
        expires_in: seconds. Salesforce does not send it today.
        community_url: of the Experience Cloud site that a site user logged in to.
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    instance_url: str | None = None
    id: str | None = None
    issued_at: str | None = None
    signature: str | None = field(default=None, repr=False)
    scopes: tuple[str, ...] | None = None
    token_type: str = "Bearer"  # noqa: S105  the name of the scheme
    id_token: str | None = field(default=None, repr=False)
    token_format: str | None = None
    expires_in: int | None = None
    community_url: str | None = None

    @property
    def issued_at_ms(self) -> int | None:
        """`issued_at` as a number of milliseconds."""
        return _number(self.issued_at, _LAST_SECOND * 1000)


def read_answer(
    *, status: int, content_type: str, body: bytes, grant: Grant, retry_after: float | None = None
) -> TokenAnswer | Refusal:
    """Reads an answer of the token endpoint.

    Args:
        status: of the HTTP answer.
        content_type: JSON, form-encoded or XML, whatever was asked for.
        body: bounded by the caller.
        grant: what was asked for.
        retry_after: seconds, from the header.
    """
    fields = read_fields(content_type, body)
    if fields is None or status != 200 or fields.get("error"):
        return read_refusal(
            status=status, content_type=content_type, body=body, grant=grant, retry_after=retry_after
        )
    return _token_answer(fields) or transport_refusal("malformed_answer", status=status, answer_lost=True)


def _token_answer(fields: Mapping[str, Any]) -> TokenAnswer | None:
    access_token, refresh_token = _token(fields.get("access_token")), _token(fields.get("refresh_token"))
    # No refresh token is the rule without rotation, null and an empty text included.
    if access_token is None or (refresh_token is None and fields.get("refresh_token") not in (None, "")):
        return None
    # A member of an unexpected type counts as absent: a rotated refresh token must not be lost over it.
    text = {name: value for name, value in fields.items() if isinstance(value, str) and value}
    return TokenAnswer(
        access_token=access_token,
        refresh_token=refresh_token,
        instance_url=_without_slash(text.get("instance_url")),
        id=text.get("id"),
        issued_at=_digits(fields.get("issued_at")),
        signature=text.get("signature"),
        scopes=_scopes(text.get("scope")),
        token_type=text.get("token_type", "Bearer"),
        id_token=text.get("id_token"),
        token_format=text.get("token_format"),
        expires_in=_number(_digits(fields.get("expires_in")), _LONGEST_LIFE),
        community_url=text.get("sfdc_community_url"),
    )


def jwt_expiry(access_token: str) -> int | None:
    """When a JWT access token expires, in epoch seconds; None for an opaque one.

    The signature is not checked: the token came straight from Salesforce, and a wrong time costs a refresh.
    """
    parts = access_token.split(".")
    if len(parts) != 3:
        return None
    expiry = _claims(parts[1]).get("exp")
    if isinstance(expiry, bool) or not isinstance(expiry, int | float) or not 0 < expiry <= _LAST_SECOND:
        return None
    return int(expiry)


def missing_scopes(granted: Iterable[str], wanted: Iterable[str]) -> tuple[str, ...]:
    """The wanted scopes that the granted ones do not cover, as they were written; empty when all are covered.

    ``refresh_token`` and ``offline_access`` are one scope; ``full`` holds every other (help.salesforce.com,
    "OAuth Tokens and Scopes").
    """
    held = {_SYNONYMS.get(scope, scope) for scope in granted}
    return tuple(dict.fromkeys(scope for scope in wanted if not _is_covered(scope, held)))


def _is_covered(scope: str, held: set[str]) -> bool:
    scope = _SYNONYMS.get(scope, scope)
    if scope in held:
        return True
    return scope != "refresh_token" and ("full" in held or _INCLUDED_IN.get(scope) in held)


def _token(value: object) -> str | None:
    return value if isinstance(value, str) and _TOKEN.fullmatch(value) else None


def _without_slash(url: str | None) -> str | None:
    return url and url.rstrip("/")


def _scopes(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(text.split())


def _digits(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value) or None


def _number(digits: str | None, most: int) -> int | None:
    if digits is None or not _DIGITS.fullmatch(digits):
        return None
    return int(digits) if int(digits) <= most else None


def _claims(part: str) -> dict[str, Any]:
    try:
        claims = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}
