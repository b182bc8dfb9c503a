"""`save()` that cannot undo a refresh."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from django.db import models, router, transaction
from django.db.models import F

from django_sf_oauth.exceptions import TemporarilyUnavailable
from django_sf_oauth.fields import SealedTextField, sealed_field

__all__ = ["GuardedModel"]


class GuardedModel(models.Model):
    """A row that another process may renew while this instance is held.

    `save()` writes a guarded field only if it was assigned since the row was loaded. An assigned token is stored
    only if the generation still is the one that was loaded, and moves it on.
    """

    GUARDED: ClassVar[frozenset[str]] = frozenset()
    ENDS_WITH: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """By token field: what is written along with a new one, since it was about the token before."""

    generation = models.PositiveBigIntegerField(default=1, editable=False)
    _loaded: Mapping[str, Any] = MappingProxyType({})

    class Meta:
        abstract = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Every load passes here, so nothing is picked out; a `from_db` of our own would cost it ten times as much.
        self._loaded = self.__dict__.copy()

    def save(
        self,
        *,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Writes the row.

        Raises:
            TemporarilyUnavailable: a token was assigned, and somebody else stored newer ones meanwhile
                (code ``stale``): load the row again.
        """
        using = using or router.db_for_write(type(self), instance=self)
        if self._state.adding or force_insert:
            super().save(
                force_insert=force_insert, force_update=force_update, using=using, update_fields=update_fields
            )
            self._remember()
            return
        names = self._names_to_write(update_fields)
        tokens = {name for name in names if isinstance(self._meta.get_field(name), SealedTextField)}
        if tokens:
            self._save_fenced(names - tokens - {"generation"}, tokens, using)
        else:
            super().save(force_update=force_update, using=using, update_fields=names)
        self._remember(names)

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: models.QuerySet[Any] | None = None,
    ) -> None:
        names = None if fields is None else list(fields)
        super().refresh_from_db(using, names, from_queryset)
        self._remember(names)

    def is_as_read(self) -> bool:
        """Whether nothing was assigned to a guarded field since it was read or written."""
        held, loaded = self.__dict__, self._loaded
        return all(held.get(name) is loaded.get(name) for name in self.GUARDED)

    def _names_to_write(self, update_fields: Iterable[str] | None) -> set[str]:
        concrete = {field.name for field in self._meta.concrete_fields if not field.primary_key}
        wanted = concrete - self.get_deferred_fields() if update_fields is None else set(update_fields)
        return {name for name in wanted if name not in self.GUARDED or self._was_assigned(name)}

    def _was_assigned(self, name: str) -> bool:
        if name not in self.__dict__:
            return False
        return name not in self._loaded or self._loaded[name] != self.__dict__[name]

    def _save_fenced(self, names: set[str], tokens: set[str], using: str) -> None:
        """Writes the tokens if the generation still is the one that was loaded, and all else with them."""
        if "generation" not in self._loaded:
            raise TypeError("A token is stored against the generation that was loaded: do not defer it.")
        loaded = self._loaded["generation"]
        rows = type(self)._base_manager.using(using).filter(pk=self.pk, generation=loaded)
        with transaction.atomic(using=using):
            if not rows.update(**self._token_values(tokens), generation=F("generation") + 1):
                raise TemporarilyUnavailable(
                    "Newer tokens were stored meanwhile: load the row again.", code="stale"
                )
            super().save(using=using, update_fields=names)
        self.generation = loaded + 1
        self._remember(["generation"])

    def _token_values(self, tokens: set[str]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name in tokens:
            sealed = sealed_field(self, name).pre_save(self, False)
            values |= {name: sealed, **self.ENDS_WITH.get(name, {})}
        return values

    def _remember(self, names: Iterable[str] | None = None) -> None:
        """Notes what the guarded fields held when they were read or written."""
        held = {name: self.__dict__[name] for name in names or self.GUARDED if name in self.__dict__}
        # A new mapping each time: copies of an instance share the old one.
        self._loaded = {**self._loaded, **held} if names is not None else held
