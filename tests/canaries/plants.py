"""Secrets that can be told from everything else, wherever and however encoded they turn up."""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from types import SimpleNamespace
from typing import Any

import pytest

from django_sf_oauth.services import connect
from django_sf_oauth.testing import mint

__all__ = ["MARK", "plant", "planted", "traces"]

MARK = "Canary7Zq"
KIND = re.compile(rf"{MARK}([A-Z][a-z]+)")
FOLD = re.compile(r"=?\r?\n")  # mails break long lines
VERIFIER_BYTES = 64


def planted(kind: str) -> str:
    """A secret of letters and digits, as long as a PKCE verifier may be."""
    return f"{MARK}{kind.capitalize()}X{secrets.token_hex(24)}"


def plant(patch: pytest.MonkeyPatch, settings: Any) -> None:
    """From now on all tokens, codes, states, verifiers, consumer secrets and keys are planted ones."""
    patch.setattr(mint, "access_token", lambda org: f"{org[:15]}!{planted('access')}")
    patch.setattr(mint, "refresh_token", lambda: f"5Aep861{planted('refresh')}")
    patch.setattr(mint, "authorization_code", lambda: f"aPrx{planted('code')}==")
    patch.setattr(connect, "secrets", SimpleNamespace(token_urlsafe=_state_or_verifier))
    settings.FERNET_KEYS = [planted("key"), planted("key")]
    settings.SALESFORCE_OAUTH = {
        **settings.SALESFORCE_OAUTH,
        "CLIENT_SECRET": [planted("secret"), planted("secret")],
        "ALERTS": "ops@example.com",
        "DIGEST": "ops@example.com",
        "RATE_LIMITS": {},
    }


def _state_or_verifier(size: int) -> str:
    return planted("verifier" if size == VERIFIER_BYTES else "state")


def traces(text: str) -> set[str]:
    """The kinds of planted secrets in a text; ``encoded`` for one in base64 or in hexadecimal."""
    text = FOLD.sub("", text)
    found = {kind.lower() for kind in KIND.findall(text)} | ({"some"} if MARK in KIND.sub("", text) else set())
    return found | ({"encoded"} if any(form in text for form in ENCODED) else set())


def _in_base64(shift: int) -> str:
    """What base64 makes of the mark after so many other bytes, without the characters that these change."""
    whole = b64encode(bytes(shift) + MARK.encode()).decode().rstrip("=")
    return whole[-(-shift * 8 // 6) : (shift + len(MARK)) * 8 // 6]


ENCODED = (MARK.encode().hex(), *map(_in_base64, range(3)))
