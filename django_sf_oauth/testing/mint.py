"""Makes the identifiers and tokens, in the shapes that Salesforce gives them."""

from __future__ import annotations

import base64
import secrets
import string

TOKEN_LETTERS = string.ascii_letters + string.digits + "._"


def record_id(prefix: str, number: int) -> str:
    """A 15-character id: three for the kind of record (00D org, 005 user), the rest made up but stable."""
    return f"{prefix}5g00000{number:05d}"


def access_token(organization_id: str) -> str:
    """An opaque session id: the org id as 15 characters, ``!``, and 96 letters, digits, dots and underscores."""
    return f"{organization_id[:15]}!AQ{_letters(94)}"


def refresh_token() -> str:
    return f"5Aep861{_letters(80)}"


def authorization_code() -> str:
    """A code as Salesforce's look: it ends in ``==``, which a client that decodes twice would break."""
    return f"aPrx{base64.urlsafe_b64encode(secrets.token_bytes(40)).decode()}"


def _letters(count: int) -> str:
    return "".join(secrets.choice(TOKEN_LETTERS) for _ in range(count))
