"""The sealed token field: ciphertext at rest, dots on display, plain text only on request.

`SealedTextField` stands on django-fernet-fields-v2 (its keys, its derivation, its column type) and mends what a
store of tokens cannot live with: values are decrypted on access and not on load, a ciphertext opens in its own row
and column only, write paths that cannot seal are refused instead of encrypting an expression's text, and
serializers get nothing.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.signals import setting_changed
from django.db import models
from django.db.models.query_utils import DeferredAttribute
from django.utils.functional import cached_property
from django.views.decorators.debug import sensitive_variables
from fernet_fields import EncryptedTextField
from fernet_fields.hkdf import derive_fernet_key

from .exceptions import TokenUnreadable

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    TextField = models.TextField["str | Sealed | None", "Sealed | None"]
    BooleanField = models.BooleanField[bool | None, bool | None]
else:
    TextField = EncryptedTextField
    BooleanField = models.BooleanField

__all__ = ["Sealed", "SealedTextField", "TrueOrNullField", "derived_keys", "sealed_field"]

DOTS = "••••••••"
FORMAT = "s1"  # stored as s1:<key id>:<Fernet token of binding, newline, plain text>


class Ciphertext(bytes):
    """Sealed bytes on their way into the database: the only thing that the column accepts."""

    __slots__ = ()


class Sealed:
    """A token at rest. It prints as dots; a copy or a pickle of it holds ciphertext."""

    __slots__ = ("_binding", "_ciphertext", "_plain")

    def __init__(self, ciphertext: bytes, binding: str = "") -> None:
        self._ciphertext = ciphertext
        self._binding = binding
        self._plain: str | None = None

    @sensitive_variables()
    def reveal(self) -> str:
        """The plain text, decrypted once for as long as this object lives.

        Raises:
            TokenUnreadable: no key of ``FERNET_KEYS`` opens it, or it was written for another row or column.
        """
        if self._plain is None:
            self._plain = unseal(self._ciphertext, self._binding)
        return self._plain

    def bound_to(self, binding: str) -> Sealed:
        """This value for one row and column; itself, if it was for none yet, so that it is decrypted once."""
        if not self._binding:
            self._binding = binding
        return self if self._binding == binding else Sealed(self._ciphertext, binding)

    def __reduce__(self) -> tuple[type[Sealed], tuple[bytes, str]]:
        return Sealed, (self._ciphertext, self._binding)

    def __repr__(self) -> str:
        return DOTS

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sealed) and self._ciphertext == other._ciphertext

    def __hash__(self) -> int:
        return hash(self._ciphertext)


@cache
def keyring() -> Mapping[str, Fernet]:
    """The keys of ``FERNET_KEYS`` by key id, newest first, derived as django-fernet-fields-v2 derives them."""
    return {_key_id(key): Fernet(key) for key in _fernet_keys()}


@cache
def derived_keys(purpose: str) -> Mapping[str, bytes]:
    """From each key of `keyring` one of 256 bits for another purpose, by the same id, newest first (RFC 5869)."""
    info = f"django_sf_oauth {purpose}".encode()
    return {
        _key_id(key): HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(urlsafe_b64decode(key))
        for key in _fernet_keys()
    }


def _fernet_keys() -> list[str | bytes]:
    keys = getattr(settings, "FERNET_KEYS", None) or [settings.SECRET_KEY]
    return [derive_fernet_key(key) for key in keys] if getattr(settings, "FERNET_USE_HKDF", True) else list(keys)


def _key_id(key: str | bytes) -> str:
    # A hash of a 256-bit key tells nothing about it, and lets a key rotation count what it has left to do.
    raw = key.encode() if isinstance(key, str) else key
    return hashlib.sha256(b"django_sf_oauth key id" + raw).hexdigest()[:8]


@sensitive_variables()
def seal(plain: str, binding: str) -> Ciphertext:
    """Encrypts under the newest key, bound to one row and column."""
    key_id, fernet = next(iter(keyring().items()))
    token = fernet.encrypt(f"{binding}\n{plain}".encode())
    return Ciphertext(f"{FORMAT}:{key_id}:".encode() + token)


@sensitive_variables()
def unseal(ciphertext: bytes, binding: str) -> str:
    """The plain text of `seal`.

    Raises:
        TokenUnreadable: see `Sealed.reveal`. Neither the cause nor the message holds the value.
    """
    scheme, _, rest = ciphertext.partition(b":")
    key_id, _, token = rest.partition(b":")
    fernet = keyring().get(key_id.decode("ascii", "replace"))
    if scheme != FORMAT.encode() or fernet is None:
        raise TokenUnreadable
    try:
        bound_to, _, plain = fernet.decrypt(token).decode().partition("\n")
    except (InvalidToken, UnicodeDecodeError):
        raise TokenUnreadable from None
    if bound_to != binding:
        raise TokenUnreadable("The stored Salesforce token belongs to another row or column.")
    return plain


class SealedAttribute(DeferredAttribute):
    """Seals on assignment and unseals nothing: reading gives a `Sealed`."""

    field: SealedTextField

    def __get__(self, instance: models.Model | None, cls: type[models.Model] | None = None) -> Any:
        value = super().__get__(instance, cls)
        if instance is None or value is None:
            return value
        return value.bound_to(self.field.binding(instance))

    def __set__(self, instance: models.Model, value: str | Sealed | None) -> None:
        if isinstance(value, str):
            value = self.field.sealed(instance, value)
        elif isinstance(value, Sealed) and value._binding and value._binding != self.field.binding(instance):
            raise TypeError("A sealed value opens in its own row only: assign plain text.")
        elif not isinstance(value, Sealed | None):
            raise TypeError("A token is assigned as plain text.")
        instance.__dict__[self.field.attname] = value


class SealedTextField(TextField):
    """Text that is encrypted at rest, bound to its model, its column and the ``uuid`` of its row.

    The model declares a ``uuid`` field before it. Assign plain text or None; reading gives a `Sealed` or None.
    """

    descriptor_class = SealedAttribute

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["editable"] = False
        super().__init__(*args, **kwargs)

    def binding(self, instance: models.Model) -> str:
        return self.binding_of(instance.uuid)  # type: ignore[attr-defined]  # see the docstring of the class

    def binding_of(self, uuid: UUID) -> str:
        return f"{self._place}:{uuid}"

    @cached_property
    def _place(self) -> str:
        return f"{self.model._meta.label_lower}.{self.name}"

    def sealed(self, instance: models.Model, plain: str) -> Sealed:
        return Sealed(seal(plain, self.binding(instance)), self.binding(instance))

    def ciphertext(self, uuid: UUID, plain: str) -> Ciphertext:
        """What a fenced ``update()`` of one row may write."""
        return seal(plain, self.binding_of(uuid))

    @sensitive_variables()
    def pre_save(self, instance: models.Model, add: bool) -> Ciphertext | None:
        """What a write of this row stores.

        Raises:
            TokenUnreadable: the value was sealed for another row or uuid (a copy of a row needs plain text).
        """
        value = getattr(instance, self.attname)
        if value is None:
            return None
        unseal(value._ciphertext, value._binding)  # what does not open here would be lost once it is stored
        return Ciphertext(value._ciphertext)

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        if value is None:
            return None
        if not isinstance(value, Ciphertext):
            raise TypeError(f"{self.name} can only be written by save(), create() or bulk_create(): they seal it.")
        return connection.Database.Binary(value)  # type: ignore[attr-defined]  # every DB-API module has it

    def from_db_value(self, value: Any, expression: object, connection: object) -> Sealed | None:
        return None if value is None else Sealed(bytes(value))

    def to_python(self, value: Any) -> Any:
        return value or None  # an XML fixture has no other way to write null

    def value_to_string(self, obj: models.Model) -> None:  # type: ignore[override]  # a fixture holds null
        return None


def sealed_field(model: models.Model | type[models.Model], name: str) -> SealedTextField:
    """The sealed field of a model, by its name.

    Raises:
        TypeError: it is another kind of field.
    """
    field = model._meta.get_field(name)
    if not isinstance(field, SealedTextField):
        raise TypeError(f"{name} is not sealed.")
    return field


class TrueOrNullField(BooleanField):
    """A flag that one row of a group may have: False is stored as NULL, which no unique constraint counts.

    MariaDB has no conditional unique constraint; all databases let NULL repeat.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "null": True})

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        return super().get_db_prep_save(value or None, connection)


def _forget_keys(*, setting: str, **kwargs: object) -> None:
    if setting in {"FERNET_KEYS", "FERNET_USE_HKDF", "SECRET_KEY"}:
        keyring.cache_clear()
        derived_keys.cache_clear()


setting_changed.connect(_forget_keys, dispatch_uid="django_sf_oauth.fields")
