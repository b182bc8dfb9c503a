"""Bringing all that is sealed under the newest key, beside a site that goes on.

What is done is told from what is stored: a value names its key. So a rotation that was killed goes on where it
ended, and may run twice at once.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.views.decorators.debug import sensitive_variables

from django_sf_oauth.keyring import newest_key
from django_sf_oauth.models.sealed_rows import SealedRow, SealedTable, sealed_tables
from django_sf_oauth.models.update_row import RowUpdate, Shape
from django_sf_oauth.models.update_rows import update_rows

from .write_behind import written_behind

__all__ = ["BATCH", "Rotation", "Unreadable", "rotate_keys"]

BATCH = 1000  # rows in one commit
PASSES = 5  # over a table of which somebody holds or changes rows
PAUSE = 0.2  # seconds between two of them: by then a refresh has ended its transaction

Tell = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Unreadable:
    """A row that holds what no key opens."""

    model: str
    uuid: UUID
    fields: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rotation:
    """What a rotation found and did.

    Attributes:
        before: how many values each key held, by its id; those that name none are under ``""``.
        after: likewise, when it had ended.
    """

    newest: str
    before: Mapping[str, int]
    after: Mapping[str, int]
    unreadable: Sequence[Unreadable]

    @property
    def left(self) -> int:
        """Values that are not under the newest key: while there are any, the old keys may be needed."""
        return sum(self.after.values()) - self.after.get(self.newest, 0)


def rotate_keys(
    *, dry_run: bool = False, verify: bool = False, batch: int = BATCH, tell: Tell = lambda done, total: None
) -> Rotation:
    """Re-encrypts, batch after batch, what is under another key than the newest.

    Args:
        dry_run: open what would be re-encrypted, and write nothing.
        verify: open what is under the newest key, too.
        batch: rows in one commit.
        tell: is given the values that are done, and how many there are.

    Raises:
        ConfigurationError: there are no usable keys.
    """
    tables = list(sealed_tables())
    newest, _ = newest_key()
    before = _count(tables)
    total = sum(before.values()) if verify else sum(before.values()) - before[newest]
    rotator = _Rotator(newest=newest, batch=batch, dry_run=dry_run, total=total, tell=tell)
    for table in tables:
        rotator.rotate(table, verify=verify)
    after = _count(tables)
    return Rotation(
        newest=newest, before=dict(before), after=dict(after), unreadable=list(rotator.unreadable.values())
    )


def _count(tables: Iterable[SealedTable]) -> Counter[str]:
    return sum((table.count_by_key() for table in tables), Counter())


class _Rotator:
    def __init__(self, *, newest: str, batch: int, dry_run: bool, total: int, tell: Tell) -> None:
        self.unreadable: dict[tuple[str, UUID], Unreadable] = {}
        self._newest = newest
        self._batch = batch
        self._dry_run = dry_run
        self._total = total
        self._tell = tell
        self._done = 0

    def rotate(self, table: SealedTable, *, verify: bool) -> None:
        missed = self._pass(table, None if verify else self._newest)
        for _ in range(PASSES - 1):
            if not missed:
                return
            time.sleep(PAUSE)
            missed = self._pass(table, self._newest)

    def _pass(self, table: SealedTable, key_id: str | None) -> int:
        """Over the whole table. Returns how many rows somebody held, or changed meanwhile."""
        missed = 0
        batches = (self._resealed(table, rows) for rows in table.batches(key_id, self._batch))
        for batch, left in written_behind(table.alias, batches, lambda batch: _write(table.alias, batch)):
            missed += left
            self._done = min(self._done + batch.values, self._total)
            self._tell(self._done, self._total)
        return missed

    @sensitive_variables()
    def _resealed(self, table: SealedTable, rows: Sequence[SealedRow]) -> _Batch:
        alike: dict[Shape, list[RowUpdate]] = defaultdict(list)
        for row in rows:
            update, unreadable = table.resealed(row, self._newest)
            if unreadable:
                bad = Unreadable(model=table.name, uuid=row.uuid, fields=tuple(unreadable))
                self.unreadable[table.name, row.uuid] = bad
            if update is not None and not self._dry_run:
                alike[update.shape].append(update)
        return _Batch(values=sum(len(row.values) for row in rows), alike=list(alike.values()))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Batch:
    """What to write of some rows, which have so many values."""

    values: int
    alike: Sequence[Sequence[RowUpdate]]


def _write(alias: str, batch: _Batch) -> int:
    """Returns how many rows somebody held, or changed meanwhile."""
    return sum(len(updates) - len(update_rows(alias, updates)) for updates in batch.alike)
