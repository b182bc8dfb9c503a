"""What one sweep costs."""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from benchmarks.turns import in_turns

from .site import let_be_due

__all__ = ["claiming", "longest_statement", "memory", "plans", "selection", "sweep"]

ROUNDS = 2
BARE = (
    "SELECT id, organization_id, app, login_url, next_refresh_at FROM django_sf_oauth_salesforceconnection"
    " WHERE next_refresh_at <= %s AND status IN ('active', 'blocked') ORDER BY next_refresh_at LIMIT 1000"
)
BARE_CLAIM = {
    "postgresql": "UPDATE django_sf_oauth_salesforceconnection SET next_refresh_at = now() + interval '5 minutes'"
    " WHERE id IN (SELECT id FROM django_sf_oauth_salesforceconnection"
    " WHERE next_refresh_at <= now() AND status IN ('active', 'blocked')"
    " ORDER BY next_refresh_at LIMIT 500 FOR UPDATE SKIP LOCKED) RETURNING id",
    "sqlite": "UPDATE django_sf_oauth_salesforceconnection SET next_refresh_at = datetime('now', '300 seconds')"
    " WHERE id IN (SELECT id FROM django_sf_oauth_salesforceconnection"
    " WHERE next_refresh_at <= datetime('now') AND status IN ('active', 'blocked')"
    " ORDER BY next_refresh_at LIMIT 500) RETURNING id",
}


def sweep(due: int) -> None:
    from django_sf_oauth.services.sweep import refresh_due

    handed_over = refresh_due(lambda ids: None, limit=due)
    assert handed_over == due, handed_over


def selection() -> float:
    """The first thousand of what is due, as a ratio of the bare query that is served by the index."""
    from django.db import connection
    from django.utils import timezone

    from django_sf_oauth.models.due_order import PAGE, DueOrder

    let_be_due()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # the bare query needs statistics of this moment, or sorts all that is due
    now = timezone.now()

    def bare() -> object:
        with connection.cursor() as cursor:
            cursor.execute(BARE, [now])
            return cursor.fetchall()

    found = in_turns({"ours": lambda: list(islice(DueOrder("default", now), PAGE)), "bare": bare}, rounds=200)
    return found["ours"] / found["bare"]


def claiming(due: int) -> tuple[float, float]:
    """Rows a second of a sweep and of the bare statement, in turns: the medians of their rounds."""
    rates: dict[Callable[[int], None], list[float]] = {sweep: [], bare_claims: []}
    for number in range(ROUNDS + 1):
        for way, found in rates.items():
            let_be_due()
            started = time.perf_counter()
            way(due)
            if number:  # the first one warms everybody up
                found.append(due / (time.perf_counter() - started))
    ours, bare = (statistics.median(found) for found in rates.values())
    return ours, bare


def bare_claims(due: int) -> None:
    """What most sweeps are: a statement for each batch that pushes due times ahead, until none is left."""
    from django.db import connection

    sql, claimed = BARE_CLAIM[connection.vendor], 0
    while claimed < due:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            claimed += len(cursor.fetchall())


def memory(due: int, *, unfair: bool = False) -> float:
    """MiB at the peak of a sweep, above what there was before."""
    let_be_due(unfair=unfair)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        sweep(due)
        return (tracemalloc.get_traced_memory()[1] - before) / 2**20
    finally:
        tracemalloc.stop()


def longest_statement(due: int, *, unfair: bool) -> float:
    """Milliseconds."""
    let_be_due(unfair=unfair)
    with each_timed() as seconds:
        sweep(due)
    return max(seconds) * 1000


@contextmanager
def each_timed() -> Iterator[list[float]]:
    from django.db import connection

    seconds: list[float] = []

    def timed(execute: Callable[..., Any], *args: Any) -> Any:
        started = time.perf_counter()
        try:
            return execute(*args)
        finally:
            seconds.append(time.perf_counter() - started)

    with connection.execute_wrapper(timed):
        yield seconds


def plans() -> str:
    """How the database reads a page in the middle of what is due, and how it claims a batch."""
    from django.db import connection, transaction

    let_be_due()
    made: list[tuple[str, Any]] = []

    def noted(execute: Callable[..., Any], sql: str, params: Any, *args: Any) -> Any:
        made.append((sql, params))
        return execute(sql, params, *args)

    with connection.execute_wrapper(noted), transaction.atomic():
        sweep(2000)
        transaction.set_rollback(True)
    page = [one for one in made if one[0].startswith("SELECT id, organization_id")][1]
    claim = next(one for one in made if one[0].startswith("UPDATE"))
    return "\n\n".join(_explained(*one) for one in (page, claim))


def _explained(sql: str, params: Any) -> str:
    from django.db import connection, transaction

    explain = {"postgresql": "EXPLAIN (ANALYZE, BUFFERS)", "sqlite": "EXPLAIN QUERY PLAN"}[connection.vendor]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"{explain} {sql}", params)
        told = [str(row[-1]) for row in cursor.fetchall()]
        transaction.set_rollback(True)
    return "\n".join(told)
