"""What no query may do to rows that hold sealed values."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TypeVar

from django.db import models

__all__ = ["SealedQuerySet"]

Row = TypeVar("Row", bound=models.Model)


class SealedQuerySet(models.QuerySet[Row]):
    """Refuses upserts; all other writes are the field's affair."""

    def bulk_create(
        self,
        objs: Iterable[Row],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[Row]:
        if update_conflicts:
            # The row that is kept has a uuid of its own, under which the new ciphertext would never open.
            raise TypeError("An upsert cannot seal tokens for a row that exists: use update_or_create().")
        return super().bulk_create(objs, batch_size, ignore_conflicts)
