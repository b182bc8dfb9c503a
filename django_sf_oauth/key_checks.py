"""System checks of the keys that seal: each mistake has an id, and fails before the first token is stored."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.utils.encoding import force_bytes

from .exceptions import ConfigurationError
from .keyring import configured_keys, key_provider, keyring

__all__ = ["HOW_TO_MAKE_ONE", "check_keys", "check_provided_keys"]

Found = Iterator[CheckMessage]

SHORT = 32  # bytes; a key of 256 bits has no fewer, however it is written
FEWEST_BITS = 80  # 32 random hex digits have more than 100; a word that is repeated has none of them
OVERHEAD = len(zlib.compress(b"", 9))
HOW_TO_MAKE_ONE = "Such as python -c 'import secrets; print(secrets.token_urlsafe(48))' gives."


def _error(number: int, message: str, hint: str | None = None) -> CheckMessage:
    return checks.Error(message, hint=hint, id=f"django_sf_oauth.E{number:03}")


def _warning(number: int, message: str, hint: str | None = None) -> CheckMessage:
    return checks.Warning(message, hint=hint, id=f"django_sf_oauth.W{number:03}")


@checks.register(checks.Tags.security)
def check_keys(**kwargs: Any) -> list[CheckMessage]:
    """E010 to E012, E020 to E022, W001 to W003, W030 to W032: ``KEY_PROVIDER`` and ``FERNET_KEYS``."""
    try:
        provider = key_provider()
    except ConfigurationError:
        hint = "It is a callable, or text with the dotted path of one, such as 'project.vault.keys'."
        return [_error(20, "KEY_PROVIDER is nothing that can be called.", hint)]
    if provider:
        return []  # whoever builds an image can ask no vault: check_provided_keys does it on deployment
    keys = getattr(settings, "FERNET_KEYS", None)
    if not keys:
        hint = "Set FERNET_KEYS to a list of long random texts, newest first, kept apart from the database."
        return [_warning(1, "FERNET_KEYS is not set: tokens are encrypted with SECRET_KEY.", hint)]
    return list(_trouble(keys))


@checks.register(checks.Tags.security, deploy=True)
def check_provided_keys(**kwargs: Any) -> list[CheckMessage]:
    """E023, and what `check_keys` finds, of the keys that ``KEY_PROVIDER`` gives."""
    try:
        if not key_provider():
            return []
        return list(_each_key("KEY_PROVIDER", configured_keys()))
    except ConfigurationError as error:
        hint = "It gives a list of texts or bytes, newest first."
        failed = error.code == "keys_unavailable"
        return [_error(23, "KEY_PROVIDER " + ("fails." if failed else "gives something else than keys."), hint)]


def _trouble(keys: Any) -> Found:
    if isinstance(keys, str | bytes):
        yield _error(10, "FERNET_KEYS is one text, each letter of which would be a key.", "Make it a list.")
    elif not isinstance(keys, list | tuple):
        yield _error(
            21, "FERNET_KEYS is no list: which of the keys is the newest?", "Make it a list, newest first."
        )
    elif not all(isinstance(key, str | bytes) for key in keys):
        hint = "A variable that is not set makes a None, and its text would be a key that anybody knows."
        yield _error(22, "FERNET_KEYS holds something else than text.", hint)
    elif not all(key.strip() for key in keys):
        yield _error(11, "FERNET_KEYS holds a blank key.", "A comma too many in the environment makes one.")
    elif not _are_keys():
        hint = (
            "With FERNET_USE_HKDF off, each has to be 32 bytes in URL-safe base64, as Fernet.generate_key() gives."
        )
        yield _error(12, "FERNET_KEYS holds something that is no key.", hint)
    else:
        yield from _each_key("FERNET_KEYS", [force_bytes(key) for key in keys])


def _are_keys() -> bool:
    try:
        keyring()
    except ConfigurationError:
        return False
    return True


def _each_key(source: str, keys: Sequence[bytes]) -> Found:
    """What weakens keys that work."""
    if any(key != key.strip() for key in keys):
        hint = "It is part of the key; 'a, b' in the environment makes one."
        yield _warning(2, f"A key in {source} begins or ends with a blank.", hint)
    if len(set(keys)) < len(keys):
        yield _warning(3, f"{source} holds a key twice.", "Remove one of them.")
    if any(len(key.strip()) < SHORT for key in keys):
        yield _warning(30, f"A key in {source} is shorter than {SHORT} characters.", HOW_TO_MAKE_ONE)
    elif any(_bits(key.strip()) < FEWEST_BITS for key in keys):
        yield _warning(31, f"A key in {source} repeats itself, and can be guessed.", HOW_TO_MAKE_ONE)
    if force_bytes(settings.SECRET_KEY) in keys:
        hint = "SECRET_KEY is in more hands and places, and is changed without thinking of tokens."
        yield _warning(32, f"A key in {source} is SECRET_KEY.", hint)


def _bits(key: bytes) -> float:
    """At most so much chance is in a key: of its letters, once what is repeated has been left out."""
    shares = [number / len(key) for number in Counter(key).values()]
    of_a_letter = -sum(share * math.log2(share) for share in shares)
    return of_a_letter * min(len(key), len(zlib.compress(key, 9)) - OVERHEAD)
