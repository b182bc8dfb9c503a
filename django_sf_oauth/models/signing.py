"""Keyed marks of the audit trail: the MAC of a record, and the fingerprint of a token.

Both are HMAC-SHA256 under keys of their own, derived from those of ``FERNET_KEYS``, and carry the id of the key:
what was written before a rotation is verified for as long as its key is listed.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from contextlib import suppress

from django.utils.crypto import constant_time_compare
from django.views.decorators.debug import sensitive_variables

from django_sf_oauth.exceptions import ConfigurationError
from django_sf_oauth.keyring import derived_keys, find_key

__all__ = ["fingerprint", "fingerprints", "is_newest", "knows", "mac", "mac_holds", "newest_prefix"]

MAC = "audit mac"
FINGERPRINT = "token fingerprint"
DIGITS = 32  # of a fingerprint: 128 bits tell tokens apart, and keep the index small

Content = Sequence[str | int | None]


def mac(content: Content) -> str:
    """``<key id>:<digest>`` under the newest key."""
    key_id, key = next(iter(derived_keys(MAC).items()))
    return _marked(key_id, key, _canonical(content))


def mac_holds(claimed: str, content: Content) -> bool:
    """Whether one of our keys made this MAC of this content; compared in constant time."""
    key_id = _key_id(claimed)
    key = _key(key_id)
    return key is not None and constant_time_compare(claimed, _marked(key_id, key, _canonical(content)))


def knows(claimed: str) -> bool:
    """Whether the key that a MAC names is listed."""
    return _key(_key_id(claimed)) is not None


def newest_prefix() -> str:
    """What begins each MAC that names the newest key."""
    return f"{next(iter(derived_keys(MAC)))}:"


def is_newest(claimed: str) -> bool:
    """Whether a MAC names the newest key."""
    return claimed.startswith(newest_prefix())


@sensitive_variables()
def fingerprint(token: str) -> str:
    """``<key id>:<digest>`` of a token under the newest key: it tells the token to nobody."""
    return fingerprints(token)[0]


@sensitive_variables()
def fingerprints(token: str) -> list[str]:
    """What the token's fingerprint is, or was, under each key that is listed, newest first."""
    length = len(":") + DIGITS
    return [
        _marked(key_id, key, token.encode())[: len(key_id) + length]
        for key_id, key in derived_keys(FINGERPRINT).items()
    ]


def _key(key_id: str) -> bytes | None:
    if key_id not in derived_keys(MAC):
        with suppress(ConfigurationError):  # what is known already has to do then
            find_key(key_id)  # which asks a provider again: another process may sign with a newer key already
    return derived_keys(MAC).get(key_id)


def _canonical(content: Content) -> bytes:
    # A list in JSON: no two different ones read the same, as texts that are merely joined could.
    return json.dumps(list(content), separators=(",", ":")).encode()


@sensitive_variables()
def _marked(key_id: str, key: bytes, content: bytes) -> str:
    return f"{key_id}:{hmac.digest(key, content, 'sha256').hex()}"


def _key_id(claimed: str) -> str:
    return claimed.partition(":")[0]
