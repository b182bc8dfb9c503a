"""How fast the sweeps of all machines may claim, by connected app and token host."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from django_sf_oauth.conf import get_apps
from django_sf_oauth.models.budget import Rate, locked_budgets, scope_of
from django_sf_oauth.models.claiming import claim
from django_sf_oauth.models.due_rows import Due
from django_sf_oauth.protocol.hosts import host_of

from .rate_limits import parse_rate

__all__ = ["INTERVAL", "Pace"]

INTERVAL = timedelta(minutes=1)  # what sweeps may claim in advance


class Pace:
    """Keeps one sweep within the `REFRESH_RATE` of each connected app.

    Args:
        alias: of the database.
        now: by its clock.
        claims_last: how long after each claim it runs out, however long the sweep takes.
        met_another: called when most of what was tried had just been taken by another sweep.
        monotonic: a clock in seconds.
    """

    def __init__(
        self,
        alias: str,
        *,
        now: datetime,
        claims_last: timedelta,
        met_another: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._alias, self._now, self._claims_last = alias, now, claims_last
        self._met_another = met_another
        self._monotonic, self._began = monotonic, monotonic()
        self._rates = _rates()
        self._spent: set[str] = set()

    def allows(self, one: Due) -> bool:
        """Whether it is worth trying: nothing is known yet that speaks against it."""
        return one.app not in self._rates or _scope(one) not in self._spent

    def claim(self, chosen: Sequence[Due]) -> list[int]:
        """Claims those that are still due, as far as the rates allow.

        Returns:
            The primary keys of what was claimed.
        """
        limited = {one.pk: _scope(one) for one in chosen if one.app in self._rates}
        if not limited:
            return self._claim([one.pk for one in chosen])
        rates = {limited[one.pk]: self._rates[one.app] for one in chosen if one.pk in limited}
        with locked_budgets(self._alias, rates, now=self._now, ahead=INTERVAL) as budgets:
            over = {pk for pk, scope in limited.items() if not budgets[scope].take()}
            claimed = self._claim([one.pk for one in chosen if one.pk not in over])
            for pk in limited.keys() & set(claimed):
                budgets[limited[pk]].spend()
        # What another sweep got instead may leave room for more.
        got_less = {limited[pk] for pk in limited.keys() - over - set(claimed)}
        self._spent |= {limited[pk] for pk in over} - got_less
        return claimed

    def _claim(self, ids: Sequence[int]) -> list[int]:
        passed = timedelta(seconds=self._monotonic() - self._began)
        claimed = claim(self._alias, ids, now=self._now, until=self._now + passed + self._claims_last)
        if len(claimed) < len(ids) / 2:
            self._met_another()
        return claimed


def _rates() -> Mapping[str, Rate]:
    """By alias of the app; those without a limit are left out."""
    limited = {app.alias: parse_rate(app.refresh_rate) for app in get_apps().values() if app.refresh_rate}
    return {alias: Rate(count=count, window=window) for alias, (count, window) in limited.items()}


def _scope(one: Due) -> str:
    return scope_of(one.app, host_of(one.login_url))
