"""Writing one batch while the next one is made: to encrypt and to wait for the database need not take turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from django.db import connections

__all__ = ["written_behind"]

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def written_behind(
    alias: str, batches: Iterable[Batch], write: Callable[[Batch], Result]
) -> Iterator[tuple[Batch, Result]]:
    """Each batch and what came of writing it, in order. No more than one is written at a time.

    It is written on a thread and a connection of its own, unless those could not see or would wait for what the
    caller's transaction has done; SQLite has one writer at a time in any case.
    """
    connection = connections[alias]
    if connection.vendor == "sqlite" or connection.in_atomic_block:
        yield from ((batch, write(batch)) for batch in batches)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="sf-oauth-write") as thread:
        before: tuple[Batch, Future[Result]] | None = None
        try:
            for batch in batches:
                if before is not None:
                    yield before[0], before[1].result()
                before = batch, thread.submit(write, batch)
            if before is not None:
                yield before[0], before[1].result()
        finally:
            thread.submit(connections.close_all)
