"""The keys that seal tokens: where they come from, and what they are called.

They are those of ``FERNET_KEYS``, derived as django-fernet-fields-v2 derives them, or what ``KEY_PROVIDER`` gives.
They are asked for when the first of them is needed, and kept.
"""

from __future__ import annotations

import hashlib
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.signals import setting_changed
from django.utils.encoding import force_bytes
from django.utils.module_loading import import_string
from django.views.decorators.debug import sensitive_variables
from fernet_fields.hkdf import derive_fernet_key

from .conf import KEY_PROVIDER, SETTING
from .exceptions import ConfigurationError

__all__ = ["configured_keys", "derived_keys", "find_key", "key_provider", "keyring", "newest_key"]

PAUSE = 30.0  # seconds between two times that an unknown key id makes the provider be asked again

Provider = Callable[[], Sequence[str | bytes]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    fernet: Fernet
    raw: bytes = field(repr=False)


class Keys:
    """The keys by id, newest first."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._kept: Mapping[str, Key] | None = None
        self._asked_at = 0.0
        self._failed = False

    def all(self) -> Mapping[str, Key]:
        """Asks for them the first time."""
        kept = self._kept
        return self._ask() if kept is None else kept

    def find(self, key_id: str) -> Key | None:
        kept = self.all()
        if key_id in kept or key_provider() is None:
            return kept.get(key_id)
        # Another process may have been given a newer key already.
        if time.monotonic() - self._asked_at >= PAUSE:
            return self._ask().get(key_id)
        if self._failed:
            raise _unavailable()
        return None

    def _ask(self) -> Mapping[str, Key]:
        """Asks; when that fails, what is kept stays."""
        self._asked_at, self._failed = time.monotonic(), True
        self._kept = found = _named(configured_keys())
        self._failed = False
        return found


_keys = Keys()


def keyring() -> Mapping[str, Fernet]:
    """What seals (the first) and opens (all of them), by key id, newest first.

    Raises:
        ConfigurationError: there is something that is no key (code ``bad_keys``), or the provider failed (code
            ``keys_unavailable``).
    """
    return {key_id: key.fernet for key_id, key in _keys.all().items()}


def newest_key() -> tuple[str, Fernet]:
    """The id of the key that seals, and the key. Raises as `keyring` does."""
    key_id, key = next(iter(_keys.all().items()))
    return key_id, key.fernet


def find_key(key_id: str) -> Fernet | None:
    """The key of that id. An unknown one makes a provider be asked again. Raises as `keyring` does."""
    key = _keys.find(key_id)
    return None if key is None else key.fernet


@sensitive_variables()
def derived_keys(purpose: str) -> Mapping[str, bytes]:
    """From each key of `keyring` one of 256 bits for another purpose, by the same id, newest first (RFC 5869)."""
    return _derived(tuple((key_id, key.raw) for key_id, key in _keys.all().items()), purpose)


@lru_cache(maxsize=16)
def _derived(keys: tuple[tuple[str, bytes], ...], purpose: str) -> Mapping[str, bytes]:
    info = f"django_sf_oauth {purpose}".encode()
    return {
        key_id: HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(urlsafe_b64decode(raw))
        for key_id, raw in keys
    }


def key_provider() -> Provider | None:
    """What ``KEY_PROVIDER`` names.

    Raises:
        ConfigurationError: it cannot be imported, or cannot be called (code ``bad_setting``).
    """
    site = getattr(settings, SETTING, {})
    named = site.get(KEY_PROVIDER) if isinstance(site, Mapping) else None
    try:
        provider = import_string(named) if isinstance(named, str) else named
    except Exception:
        # Neither the value nor the cause is told: somebody may have put a key there.
        provider = named
    if provider is not None and not callable(provider):
        raise ConfigurationError(f"{SETTING}: {KEY_PROVIDER} is nothing that can be called.", code="bad_setting")
    return provider


@sensitive_variables()
def configured_keys() -> list[bytes]:
    """The keys as they were given, newest first.

    Raises:
        ConfigurationError: see `keyring`.
    """
    provider = key_provider()
    keys = _asked(provider) if provider else getattr(settings, "FERNET_KEYS", None) or [settings.SECRET_KEY]
    if not isinstance(keys, list | tuple) or not keys or not all(isinstance(key, str | bytes) for key in keys):
        # The letters of a text would be keys, a set has no newest one, and the text of None is a key to nobody.
        raise _bad_keys()
    found = [force_bytes(key) for key in keys]
    if not all(key.strip() for key in found):
        raise _bad_keys()
    return found


def _asked(provider: Provider) -> Any:
    try:
        return provider()
    except Exception:
        # The cause is left out: it may hold what a vault answered.
        raise _unavailable() from None


@sensitive_variables()
def _named(keys: Sequence[bytes]) -> Mapping[str, Key]:
    derive = derive_fernet_key if getattr(settings, "FERNET_USE_HKDF", True) else bytes
    try:
        return {_key_id(raw): Key(raw=raw, fernet=Fernet(raw)) for raw in map(derive, keys)}
    except ValueError:
        raise _bad_keys() from None


def _key_id(raw: bytes) -> str:
    # A hash of a 256-bit key tells nothing about it, and lets a key rotation count what it has left to do.
    return hashlib.sha256(b"django_sf_oauth key id" + raw).hexdigest()[:8]


def _bad_keys() -> ConfigurationError:
    return ConfigurationError(
        "FERNET_KEYS, or what KEY_PROVIDER gives, is no list of keys: manage.py check says more.", code="bad_keys"
    )


def _unavailable() -> ConfigurationError:
    return ConfigurationError(
        f"{SETTING}: {KEY_PROVIDER} could not be asked for the keys.", code="keys_unavailable"
    )


def _forget_keys(*, setting: str, **kwargs: object) -> None:
    if setting in {"FERNET_KEYS", "FERNET_USE_HKDF", "SECRET_KEY", SETTING}:
        _keys.forget()


setting_changed.connect(_forget_keys, dispatch_uid="django_sf_oauth.keyring")
