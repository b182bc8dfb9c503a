"""What a refusal of the authorization host means, and who can do something about it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .classification import TABLE, UNKNOWN_ERROR, Actor, Grant, Rule
from .formats import is_json, read_fields

__all__ = [
    "TABLE",
    "Actor",
    "Grant",
    "Refusal",
    "classify",
    "classify_authorize_error",
    "read_refusal",
    "transport_refusal",
]

LONGEST_ERROR = 64

# 406 and 420 come from Salesforce Edge while it sets an org up.
_LATER = {406: "rate_limited", 420: "rate_limited", 429: "rate_limited"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """An answer that gives no token. It holds no text of the answer except the sanitised ``error``.

    Attributes:
        reason: stable code, such as ``revoked`` or ``contention``.
        error: the OAuth error, lower-case, of ``[a-z0-9_]``, at most 64 characters; empty when none came.
        status: of the HTTP answer, if one came.
        retry_after: seconds that Salesforce asked to wait.
        answer_lost: the request may have been carried out although no usable answer came, so that a rotated
            refresh token may be lost.
    """

    actor: Actor
    reason: str
    error: str = ""
    status: int | None = None
    retry_after: float | None = None
    answer_lost: bool = False


def classify(
    *, error: str, description: str, status: int, grant: Grant, retry_after: float | None = None
) -> Refusal:
    """What an OAuth error means.

    Args:
        error: the ``error`` member, as received.
        description: the ``error_description`` member, as received; matched loosely and not kept.
        status: of the HTTP answer. A server error is never believed to be about the grant.
        grant: what was asked for: the same words mean different things to different requests.
        retry_after: seconds, from the header.
    """
    code = _code(error)
    later = _LATER.get(status) or _server_error(status)
    rule = Rule(actor=Actor.NOBODY, reason=later) if later else _find(code, description, grant)
    return Refusal(actor=rule.actor, reason=rule.reason, error=code, status=status, retry_after=retry_after)


def classify_authorize_error(error: str, description: str) -> Refusal:
    """What an error on the callback URL means."""
    code = _code(error)
    rule = _find(code, description, "authorize")
    return Refusal(actor=rule.actor, reason=rule.reason, error=code)


def transport_refusal(
    reason: str, *, status: int | None = None, answer_lost: bool = False, retry_after: float | None = None
) -> Refusal:
    """A failure without an OAuth error: ``timeout``, ``connection``, ``too_large``, ``redirect``, …"""
    actor = Actor.OPERATOR if reason == "wrong_host" else Actor.NOBODY
    return Refusal(actor=actor, reason=reason, status=status, answer_lost=answer_lost, retry_after=retry_after)


def read_refusal(
    *, status: int, content_type: str, body: bytes, grant: Grant, retry_after: float | None = None
) -> Refusal:
    """What an answer of the authorization host that gives nothing usable means.

    Args:
        body: bounded by the caller.
    """
    fields = read_fields(content_type, body) or {}
    error, description = fields.get("error"), fields.get("error_description")
    if not isinstance(error, str) or not error:
        return _without_error(status, body, retry_after)
    return classify(
        error=error,
        description=description if isinstance(description, str) else "",
        status=status,
        grant=grant,
        retry_after=retry_after,
    )


def _without_error(status: int, body: bytes, retry_after: float | None) -> Refusal:
    if status == 404 and b"Bad_Id" in body:
        return transport_refusal("wrong_host", status=status)
    if status in (400, 401, 403) and is_json(body):
        return Refusal(actor=UNKNOWN_ERROR.actor, reason=UNKNOWN_ERROR.reason, status=status)
    reason = _LATER.get(status) or _server_error(status) or "malformed_answer"
    # The page of a proxy may have replaced an answer that rotated the token.
    lost = status < 300 or status >= 500
    return transport_refusal(reason, status=status, answer_lost=lost, retry_after=retry_after)


def _server_error(status: int) -> str | None:
    return "server_error" if status >= 500 else None


def _find(code: str, description: str, grant: Grant) -> Rule:
    # Casing and blanks vary between releases.
    phrase = " ".join(description.lower().split())
    return next((rule for rule in TABLE if rule.matches(code, phrase, grant)), UNKNOWN_ERROR)


def _code(error: str) -> str:
    # One help page writes "access-denied" for access_denied.
    return re.sub(r"[^a-z0-9]+", "_", error.lower().strip())[:LONGEST_ERROR]
