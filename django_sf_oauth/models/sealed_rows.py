"""All that is sealed, of all models: which key holds how much, and what another key than the newest holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import router
from django.db.models import BinaryField, Count, F, Func, Model, Q, QuerySet, Value
from django.db.models.lookups import Exact, IsNull
from django.views.decorators.debug import sensitive_variables

from django_sf_oauth.exceptions import TokenUnreadable
from django_sf_oauth.fields import Sealed, SealingField, key_prefix, seal

from .update_row import RowUpdate

__all__ = ["SealedRow", "SealedTable", "sealed_tables"]

Column = tuple[str, str, str | None]  # its database, its table and its name
PREFIX_LENGTH = len(key_prefix("01234567"))


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedRow:
    """One row: its values by field, those that are not NULL."""

    pk: Any
    uuid: UUID
    values: dict[str, Sealed]


@dataclass(frozen=True)
class SealedTable:
    """A model with sealed fields."""

    model: type[Model]
    fields: tuple[SealingField, ...]

    @property
    def name(self) -> str:
        return self.model._meta.label

    @cached_property
    def alias(self) -> str:
        return router.db_for_write(self.model)

    def count_by_key(self) -> Counter[str]:
        """How many values begin with the id of which key; under ``""`` those that begin with none."""
        counts: Counter[str] = Counter()
        for field in self.fields:
            rows = self._rows().filter(_is_there(field.name))
            for start, number in rows.values_list(_start(field.name)).annotate(Count("pk")).order_by():
                counts[_key_id(bytes(start or b""))] += number
        return counts

    def batches(self, key_id: str | None, size: int) -> Iterator[list[SealedRow]]:
        """The rows that hold a value of another key than that one; with None, those with any value.

        What comes behind the last row meanwhile is left out, so that there is an end.
        """
        wanted = reduce(or_, (_is_outside(field.name, key_id) for field in self.fields))
        rows = self._rows().filter(wanted).order_by("pk")
        last = rows.values_list("pk", flat=True).last()
        if last is None:
            return
        rows = rows.filter(pk__lte=last)
        batch = self._read(rows, size)
        while batch:
            yield batch
            batch = self._read(rows.filter(pk__gt=batch[-1].pk), size)

    def _read(self, rows: QuerySet[Any], size: int) -> list[SealedRow]:
        names = [field.name for field in self.fields]
        found = rows.values_list("pk", "uuid", *names)[:size]
        return [SealedRow(pk=pk, uuid=uuid, values=_present(names, values)) for pk, uuid, *values in found]

    @sensitive_variables()
    def resealed(self, row: SealedRow, key_id: str) -> tuple[RowUpdate | None, list[str]]:
        """What brings a row under the newest key, whose id it is, and the names of the fields that no key opens.

        The update holds only while the row has the values that were read: a newer token stays.
        """
        values, fence, unreadable = {}, {}, []
        for field in self.fields:
            sealed = row.values.get(field.name)
            if sealed is None:
                continue
            binding = field.binding_of(row.uuid)
            try:
                plain = sealed.bound_to(binding).reveal()
            except TokenUnreadable:
                unreadable.append(field.name)
                continue
            if not sealed.is_under(key_id):
                values[field.name] = seal(plain, binding)
                fence[field.name] = sealed.at_rest()
        update = RowUpdate(model=self.model, pk=row.pk, values=values, fence=fence) if values else None
        return update, unreadable

    def _rows(self) -> QuerySet[Any]:
        return self.model._base_manager.using(self.alias)


def sealed_tables() -> Iterator[SealedTable]:
    """Of this package and of the whole site: `SealedTextField` is there for everybody.

    Models that Django does not manage are among them, for their values need the keys as well.
    """
    known: set[Column] = set()
    # Those that are managed first: of a column that two models see, theirs is what its values are bound to.
    for model in sorted(apps.get_models(), key=lambda model: not model._meta.managed):
        columns = {} if model._meta.proxy else _sealed_columns(model)
        fields = tuple(field for column, field in columns.items() if column not in known)
        known.update(columns)
        if fields:
            yield SealedTable(model=model, fields=fields)


def _sealed_columns(model: type[Model]) -> dict[Column, SealingField]:
    table = router.db_for_write(model), model._meta.db_table
    fields = model._meta.local_concrete_fields
    return {(*table, field.column): field for field in fields if isinstance(field, SealingField)}


def _present(names: list[str], values: list[Sealed | None]) -> dict[str, Sealed]:
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _is_there(name: str) -> Q:
    return Q(**{f"{name}__isnull": False})


def _is_outside(name: str, key_id: str | None) -> Q:
    if key_id is None:
        return _is_there(name)
    start = _start(name)  # to SQLite the start of no bytes is NULL
    return _is_there(name) & (Q(IsNull(start, True)) | ~Q(Exact(start, key_prefix(key_id))))


def _start(name: str) -> Func:
    # With any function of the database round it, a value is plain bytes.
    return Func(F(name), Value(1), Value(PREFIX_LENGTH), function="SUBSTR", output_field=BinaryField())


def _key_id(start: bytes) -> str:
    key_id = start[3:-1].decode("ascii", "replace")
    return key_id if len(start) == PREFIX_LENGTH and start == key_prefix(key_id) else ""
