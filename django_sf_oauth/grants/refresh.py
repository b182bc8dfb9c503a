"""One refresh, told in its steps: read, claim, ask Salesforce, store.

Salesforce may rotate the refresh token on every use and refuses two requests in flight for one token, with an
error that also means "revoked". So a lease in the row lets one caller anywhere ask, nothing is held while it asks,
and the answer is stored, fenced by the generation, before anything else happens.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from django.db import Error
from django.views.decorators.debug import sensitive_variables

from django_sf_oauth import transport
from django_sf_oauth.conf import AppSettings, get_app
from django_sf_oauth.exceptions import ConfigurationError, TokenUnreadable
from django_sf_oauth.protocol.errors import Actor, Refusal
from django_sf_oauth.protocol.tokens import TokenAnswer

from .contract import Claim, Grant, GrantStore, Outcome, Status, Verdict
from .verdict import judge

__all__ = ["Refresher"]

logger = logging.getLogger("django_sf_oauth.grants")

EXPECTED_EXCHANGE = 0.2  # seconds; what one exchange with Salesforce usually takes
POLL = (0.05, 0.15)  # seconds; then the generation is looked at again


class Ask(Protocol):
    def __call__(self, app: AppSettings, *, login_url: str, refresh_token: str) -> TokenAnswer | Refusal: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Refresher:
    """Refreshes one grant at a time, on the thread that calls it.

    `ask`, `sleep` and `monotonic` (seconds) are the world outside: the transport, and time.
    """

    store: GrantStore
    ask: Ask = transport.refresh
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic

    def __call__(self, key: int, generation: int, *, forced: bool = False) -> Outcome:
        """Sees to it that the row's generation is above `generation`, or says why it cannot be.

        Args:
            key: primary key of the row.
            generation: the one whose access token Salesforce refused.
            forced: ask even during a back-off, and for a connection that is blocked or flagged.
        """
        started = self.monotonic()
        pause = EXPECTED_EXCHANGE
        while True:
            grant = self.store.read(key)
            if grant is None:
                return Outcome(kind="gone")
            if outcome := self._settled(grant, generation, forced=forced):
                return outcome
            timeouts = get_app(grant.app).timeouts
            claimed = self._claim(grant, timeouts.lease)
            if isinstance(claimed, Outcome):
                return claimed
            if claimed is not None:
                if outcome := self._spend(claimed):
                    return outcome
                continue
            if self.monotonic() - started > timeouts.lease:
                return Outcome(kind="unavailable", reason="busy", retry_after=EXPECTED_EXCHANGE)
            self.store.let_go()
            self.sleep(pause)
            pause = random.uniform(*POLL)  # noqa: S311  # spreads polls; guards nothing

    def _settled(self, grant: Grant, generation: int, *, forced: bool) -> Outcome | None:
        """What the row already says, when it leaves nothing to ask."""
        if grant.status == Status.DISCONNECTED or grant.refresh_token is None:
            return Outcome(kind="gone", grant=grant)
        if grant.generation > generation and grant.status == Status.ACTIVE:
            return Outcome(kind="renewed", grant=grant)
        if not forced and (flagged := _flagged(grant)):
            return flagged
        if reason := self.store.held(grant):
            return Outcome(kind="unavailable", reason=reason)
        if grant.retry_in > 0 and not forced:
            return Outcome(kind="unavailable", reason="backing_off", retry_after=grant.retry_in)
        return None

    def _claim(self, grant: Grant, lease: float) -> Claim | Outcome | None:
        try:
            return self.store.claim(grant, lease=lease)
        except Error as error:
            # Refused before the token is spent: what cannot commit a claim could not store an answer either.
            logger.warning("event=claim_refused connection=%s error=%s", grant.uuid, type(error).__name__)
            return Outcome(kind="unavailable", reason="row_locked", retry_after=1.0)

    def _spend(self, claim: Claim) -> Outcome | None:
        """Asks, and writes down what came of it; None when the row has moved on meanwhile."""
        started = self.monotonic()
        answer = self._ask(claim)
        if isinstance(answer, TokenAnswer):
            return self._persist(claim, started, lambda: self._store(claim, answer))
        verdict = judge(claim, answer)
        return self._persist(claim, started, lambda: self._fail(claim, verdict))

    @sensitive_variables()
    def _ask(self, claim: Claim) -> TokenAnswer | Refusal:
        grant = claim.grant
        if grant.refresh_token is None:  # claimed rows have one; the type does not know
            return Refusal(actor=Actor.USER, reason="unreadable", error="", status=None, retry_after=None)
        self.store.let_go()
        try:
            plain = grant.refresh_token.reveal()
            return self.ask(get_app(grant.app), login_url=grant.login_url, refresh_token=plain)
        except TokenUnreadable:
            return Refusal(actor=Actor.USER, reason="unreadable", error="", status=None, retry_after=None)
        except ConfigurationError as error:
            return Refusal(actor=Actor.OPERATOR, reason=error.code, error="", status=None, retry_after=None)

    def _persist(self, claim: Claim, started: float, write: Callable[[], Outcome | None]) -> Outcome | None:
        """The answer may hold the only refresh token that still works: it is written before anything else."""
        lease = get_app(claim.grant.app).timeouts.lease
        while True:
            try:
                return write()
            except Error as error:
                logger.error("event=store_failed connection=%s error=%s", claim.grant.uuid, type(error).__name__)
            self.store.let_go()
            if self.monotonic() - started > lease:
                # The lease stays as it is: whoever comes next knows that this generation is in doubt.
                return Outcome(kind="unavailable", reason="store_failed")
            self.sleep(random.uniform(*POLL))  # noqa: S311  # spreads retries; guards nothing

    def _store(self, claim: Claim, answer: TokenAnswer) -> Outcome | None:
        grant = self.store.store(claim, answer)
        return Outcome(kind="renewed", grant=grant) if grant else None

    def _fail(self, claim: Claim, verdict: Verdict) -> Outcome | None:
        if not self.store.fail(claim, verdict):
            return None
        grant = claim.grant
        if verdict.status is not None:
            grant = replace(grant, status=verdict.status, reason=verdict.reason)
        return Outcome(kind=verdict.kind, reason=verdict.reason, grant=grant, retry_after=verdict.retry_in)


def _flagged(grant: Grant) -> Outcome | None:
    """Whoever does not insist leaves a dead grant alone, and a blocked one until its daily probe."""
    if grant.status == Status.RECONNECT_REQUIRED:
        return Outcome(kind="dead", reason=grant.reason, grant=grant)
    if grant.status == Status.BLOCKED and grant.retry_in > 0:
        return Outcome(kind="blocked", reason=grant.reason, grant=grant)
    return None
