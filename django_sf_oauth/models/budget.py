"""How far ahead of time the refreshes of a connected app at a token host are, shared by all sweeps.

It is the `until` of a hold: each refresh that is claimed moves it on by the time that one takes at the app's rate.
No count is kept, and nothing has to be reset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import models, transaction

from .hold import Hold

__all__ = ["Budget", "Rate", "locked_budgets", "scope_of"]

REASON = "refresh_rate"
LONGEST = Hold._meta.get_field("scope").max_length or 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """So many within a window."""

    count: int
    window: timedelta

    def of(self, time: timedelta) -> int:
        return time * self.count // self.window


@dataclass(kw_only=True, slots=True)
class Budget:
    """What may be claimed now; `until` is up to when all has been claimed that the rate allows."""

    scope: str
    rate: Rate
    until: datetime
    left: int

    def take(self) -> bool:
        """Whether there was one more."""
        self.left -= 1
        return self.left >= 0

    def spend(self) -> None:
        """Notes one that was claimed."""
        self.until += self.rate.window / self.rate.count


def scope_of(app: str, host: str) -> str:
    return f"rate:{app}:{host}"[:LONGEST]


@contextmanager
def locked_budgets(
    alias: str, rates: Mapping[str, Rate], *, now: datetime, ahead: timedelta
) -> Iterator[Mapping[str, Budget]]:
    """The budgets of these scopes in a transaction, in which no other sweep has them; written at its end.

    Args:
        ahead: so much time may be claimed in advance, or a whole window if that is longer.
    """
    holds = Hold.objects.using(alias).filter(scope__in=rates)
    missing = set(rates) - set(holds.values_list("scope", flat=True))
    # Before the transaction: MariaDB would let two of them wait for each other.
    holds.bulk_create([Hold(scope=one, reason=REASON, until=now) for one in missing], ignore_conflicts=True)
    with transaction.atomic(using=alias):
        found = {hold.scope: hold.until for hold in _locked(holds)}  # unless an operator has just released it
        budgets = {scope: _budget(scope, rate, found.get(scope), now, ahead) for scope, rate in rates.items()}
        yield budgets
        for budget in budgets.values():
            holds.filter(scope=budget.scope).update(until=budget.until)


def _locked(holds: models.QuerySet[Hold]) -> models.QuerySet[Hold]:
    return holds.select_for_update().order_by("scope")


def _budget(scope: str, rate: Rate, claimed_to: datetime | None, now: datetime, ahead: timedelta) -> Budget:
    until = max(claimed_to or now, now)
    left = rate.of(now + max(ahead, rate.window) - until)
    return Budget(scope=scope, rate=rate, until=until, left=left)
