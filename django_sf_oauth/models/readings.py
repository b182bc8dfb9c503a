"""Rows as the engine sees them: read, seen before, or just renewed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connections
from django.db.models import F
from django.utils import timezone

from django_sf_oauth.fields import Sealed, sealed_field
from django_sf_oauth.grants.contract import Grant

from .clock import DatabaseClock
from .connection import SalesforceConnection

__all__ = ["Watched", "read", "reading", "renewed", "seen_in", "watched"]

TIMED = {"expires_in", "retry_in", "lease_left", "in_doubt"}  # depend on the moment of the reading
TOKENS = ("access_token", "refresh_token")
SHOWN = tuple({field.name for field in fields(Grant)} - TIMED - {"key", *TOKENS})
READ = frozenset({*SHOWN, *TOKENS, "id"})
BESIDE = ("pk", "user_id", "next_refresh_at", "claimed_until")


class Watched(NamedTuple):
    """A connection as the sweep's batches see it."""

    grant: Grant
    user: Any
    """Primary key."""
    due_at: datetime | None
    claimed_until: datetime | None


def reading(row: SalesforceConnection, *, lease_left: int | None = None) -> Grant:
    """What a row says; `lease_left` is in milliseconds."""
    facts = {name: getattr(row, name) for name in (*SHOWN, *TOKENS)}
    return _grant(row.pk, facts, lease_left)


def _grant(key: int, facts: dict[str, Any], lease_left: int | None) -> Grant:
    return Grant(
        key=key,
        **facts,
        expires_in=_seconds_until(facts["expires_at"]),
        retry_in=_seconds_until(facts["retry_at"]),
        lease_left=None if lease_left is None else lease_left / 1000,
        in_doubt=facts["in_doubt_since"] is not None or (lease_left is not None and lease_left <= 0),
    )


def watched(alias: str, keys: Sequence[int]) -> Iterator[Watched]:
    """The connections of these primary keys, at half of what instances of the model cost.

    Their leases are not timed: whoever finds one takes another look.
    """
    rows = SalesforceConnection._base_manager.using(alias).filter(pk__in=keys)
    for key, user, due_at, claimed_until, *values in rows.values_list(*BESIDE, *SHOWN, *TOKENS):
        yield Watched(_grant(key, _facts(values), None), user, due_at, claimed_until)


def _facts(values: Sequence[Any]) -> dict[str, Any]:
    """By name, of what was read outside of an instance."""
    facts = dict(zip((*SHOWN, *TOKENS), values, strict=True))
    for name in TOKENS:
        facts[name] = _bound(name, facts[name], facts["uuid"])
    return facts


def _bound(name: str, sealed: Sealed | None, uuid: UUID) -> Sealed | None:
    return sealed and sealed.bound_to(sealed_field(SalesforceConnection, name).binding_of(uuid))


def read(alias: str, key: int) -> Grant | None:
    """See `GrantStore.read`."""
    connection, (sql, conversions) = connections[alias], _reading(alias, settings.USE_TZ)
    with connection.cursor() as cursor:
        cursor.execute(sql, [key])
        if (found := cursor.fetchone()) is None:
            return None
    values = list(found)
    for place, convert, expression in conversions:
        values[place] = convert(values[place], expression, connection)
    *shown, lease_left = values
    return _grant(key, _facts(shown), lease_left)


@cache
def _reading(alias: str, use_tz: bool) -> tuple[str, Sequence[tuple[int, Callable[..., Any], Any]]]:
    """The statement, and what makes Python's values of the columns that need it, by their place.

    On MariaDB, `use_tz` decides which these are.
    The ORM takes three times as long to put both together anew as all the rest of a reading does.
    """
    rows = SalesforceConnection._base_manager.using(alias).filter(pk=0)
    lease_left = F("lease_until") - DatabaseClock()
    compiler = rows.values_list(*SHOWN, *TOKENS, lease_left).query.get_compiler(alias)
    sql, _key = compiler.as_sql()
    found = compiler.get_converters([expression for expression, *_ in compiler.select])
    conversions = [(place, convert, one) for place, (converts, one) in found.items() for convert in converts]
    return str(sql), conversions


def seen_in(row: SalesforceConnection) -> Grant | None:
    """What somebody has read; None when they left something out or have assigned to it since."""
    return reading(row) if row.__dict__.keys() >= READ and row.is_as_read() else None


def renewed(grant: Grant, values: Mapping[str, Any]) -> Grant:
    """What a reading would show now that these values have been stored."""
    tokens: dict[str, Any] = {
        name: Sealed(values[name], sealed_field(SalesforceConnection, name).binding_of(grant.uuid))
        for name in TOKENS
        if name in values
    }
    return replace(
        grant,
        **{name: values[name] for name in SHOWN if name in values},
        **tokens,
        expires_in=_seconds_until(values["expires_at"]),
        retry_in=0.0,
        lease_left=None,
        in_doubt=False,
    )


def _seconds_until(moment: datetime | None) -> float:
    return max(0.0, (moment - timezone.now()).total_seconds()) if moment else 0.0
