"""Who was connected: Salesforce ids, the identity URL, and the signature that proves it."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest

from .hosts import origin_of

_ID = re.compile(r"(?P<id>[A-Za-z0-9]{15})(?P<checksum>[A-Z0-5]{3})?", re.ASCII)
_CHECKSUM_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_IDENTITY_PATH = re.compile(r"/id/(?P<org>00D[A-Za-z0-9]{12,15})/(?P<user>005[A-Za-z0-9]{12,15})", re.ASCII)
_OPAQUE_TOKEN = re.compile(r"(?P<org>00D[A-Za-z0-9]{12})[A-Za-z0-9]{0,3}!.*", re.ASCII | re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """What an identity URL names.

    Attributes:
        url: as received, since the signature covers it so.
        host: with a port if it is not the default one.
        organization_id: 18 characters.
        user_id: 18 characters.
    """

    url: str
    host: str
    organization_id: str
    user_id: str


def to_18(sf_id: str) -> str:
    """The 18-character form of a Salesforce id, which survives a case-insensitive comparison.

    Raises:
        ValueError: neither 15 nor 18 characters, or a checksum that is not that of the first 15.
    """
    match = _ID.fullmatch(sf_id)
    checksum = _checksum(match["id"]) if match else ""
    if match is None or match["checksum"] not in (None, checksum):
        raise ValueError("This is not a Salesforce id of 15 or 18 characters.")
    return str(match["id"]) + checksum


def parse_identity(url: str) -> Identity | None:
    """Reads ``https://host/id/ORG/USER``; None when the URL is not that.

    Whether the host is to be trusted is another question: `hosts.is_trusted_url`.
    """
    origin = origin_of(url)
    if origin is None:
        return None
    # As long as the origin unless a default port was spelt out, which Salesforce never does.
    match = _IDENTITY_PATH.fullmatch(url[len(origin) :])
    if match is None:
        return None
    try:
        organization_id, user_id = to_18(match["org"]), to_18(match["user"])
    except ValueError:
        return None
    return Identity(url=url, host=origin.partition("://")[2], organization_id=organization_id, user_id=user_id)


def sign(secret: str, identity_url: str, issued_at: str) -> str:
    """The signature that Salesforce makes with the consumer secret, in standard base64.

    Args:
        secret: used as text; it is not decoded from its hexadecimal form.
        identity_url: exactly as received: an id of 15 characters stays so.
        issued_at: exactly as received, milliseconds as text.
    """
    message = _utf8(identity_url + issued_at)
    return b64encode(hmac_digest(_utf8(secret), message, sha256)).decode("ascii")


def verify_signature(*, secrets: Sequence[str], identity_url: str, issued_at: str, signature: str) -> bool:
    """Whether any of the consumer secrets made this signature, in constant time.

    While a secret is being rotated either one may have signed. It proves the identity URL only, not the
    tokens or the instance URL that came with it.
    """
    # A list, so that the time does not tell which secret matched. An empty secret is one that anybody knows.
    expected = [sign(secret, identity_url, issued_at) for secret in secrets if secret]
    return True in [compare_digest(_utf8(each), _utf8(signature)) for each in expected]


def token_org_prefix(access_token: str) -> str | None:
    """The 15-character organization id that starts an opaque access token; None for a JWT and all else."""
    match = _OPAQUE_TOKEN.fullmatch(access_token)
    return match and match["org"]


def orgs_named(*, identity_url: str | None, access_token: str) -> frozenset[str]:
    """The orgs that a token answer names, as ids of 15 characters: by its identity URL, and by an opaque token.

    Empty when it names none; more than one when it contradicts itself.
    """
    identity = parse_identity(identity_url or "")
    named = (identity and identity.organization_id[:15], token_org_prefix(access_token))
    return frozenset(org for org in named if org)


def _checksum(id_15: str) -> str:
    return "".join(_CHECKSUM_ALPHABET[_capitals(id_15[start : start + 5])] for start in (0, 5, 10))


def _capitals(chunk: str) -> int:
    return sum(1 << bit for bit, character in enumerate(chunk) if "A" <= character <= "Z")


def _utf8(text: str) -> bytes:
    # JSON can carry half of a surrogate pair, at which the strict encoder would raise.
    return text.encode("utf-8", "surrogatepass")
