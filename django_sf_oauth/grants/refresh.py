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
from dataclasses import dataclass, field, replace
from typing import Protocol

from django.db import Error
from django.views.decorators.debug import sensitive_variables

from django_sf_oauth import transport
from django_sf_oauth.conf import AppSettings, get_app
from django_sf_oauth.exceptions import ConfigurationError, TokenUnreadable
from django_sf_oauth.fields import Sealed
from django_sf_oauth.protocol.errors import Actor, Refusal
from django_sf_oauth.protocol.hosts import host_of
from django_sf_oauth.protocol.tokens import TokenAnswer

from .belonging import of_its_org
from .breaker import FailuresInARow, failures, host_failed
from .contract import OPEN, Claim, Gate, Grant, GrantStore, Outcome, Status, Verdict
from .pace import Pace
from .verdict import CONTENTION, judge
from .watching import Watching

__all__ = ["Refresher"]

logger = logging.getLogger("django_sf_oauth.grants")

RETRY = (0.05, 0.15)  # seconds between two tries to write
CLAIM_TRIES = 1.0  # seconds in which a claim that the database refuses is tried again
LATE_TRIES = 5.0  # seconds in which an answer that came after its lease is tried to be stored
BEATEN = (0.005, 0.015)  # seconds until one looks at a row that could not be claimed at once
SHORT = 1.0  # seconds; a back-off no longer than that is waited out


def since_boot() -> float:
    """Seconds, counting those that the machine slept: a lease runs on meanwhile."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Ask(Protocol):
    def __call__(self, app: AppSettings, *, login_url: str, refresh_token: str) -> TokenAnswer | Refusal: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """What somebody wants of a refresh.

    Attributes:
        generation: the one that they hold.
        forced: even during a back-off, and for a connection that is blocked or flagged.
        ahead: nobody refused the access token, so that a refresh that may cost the grant can wait.
        started: when, by the refresher's clock.
    """

    key: int
    generation: int
    forced: bool
    ahead: bool
    started: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Refresher:
    """Refreshes one grant at a time, on the thread that calls it.

    `ask`, `sleep` and `clock` (seconds) are the world outside: the transport, and time.
    """

    store: GrantStore
    ask: Ask = transport.refresh
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = since_boot
    pace: Pace = field(default_factory=Pace)
    failures: FailuresInARow = failures

    def __call__(
        self, key: int, generation: int, *, forced: bool = False, ahead: bool = False, seen: Grant | None = None
    ) -> Outcome:
        """Sees to it that the row's generation is above `generation`, or says why it cannot be.

        Args:
            key: primary key of the row.
            generation: the one whose access token Salesforce refused, or which is to be replaced ahead of that.
            forced: ask even during a back-off, and for a connection that is blocked or flagged.
            ahead: nobody refused the access token: while it lives, a grant in doubt is left alone.
            seen: what the caller has read of the row, which saves a look at it if nothing has happened since.
        """
        call = Call(key=key, generation=generation, forced=forced, ahead=ahead, started=self.clock())
        watching = Watching(store=self.store, sleep=self.sleep, clock=self.clock, pace=self.pace)
        outcome = self._at_once(seen, call) if seen else None
        while not isinstance(outcome, Outcome):
            if outcome:
                watching.pause(outcome)
            outcome = self._step(call, watching)
        return outcome

    def _at_once(self, seen: Grant, call: Call) -> Outcome | float | None:
        """The shortest way: one statement to claim, and one to store. None when it takes a look at the row."""
        if seen.generation != call.generation or not _is_clear(seen):
            return None
        claimed_at = self.clock()  # before the claim: the lease begins no earlier
        claim = self.store.claim_at_once(seen, lease=get_app(seen.app).timeouts.lease, urgent=not call.ahead)
        if claim is None:
            # Mostly somebody claims it in this moment, and whoever looks now only keeps them from asking.
            return random.uniform(*BEATEN)  # noqa: S311  # spreads looks; guards nothing
        return self._spend(claim, OPEN, call, claimed_at)

    def _step(self, call: Call, watching: Watching) -> Outcome | float:
        """One look at the row, or more while somebody else asks, and what follows; or seconds until the next."""
        try:
            grant = self.store.read(call.key)
            while grant is not None and (left := self._worth_watching(grant, call)) > 0:
                grant = watching.watch(grant, left)
        except Error as error:
            return _blind(error)
        if grant is None:
            return Outcome(kind="gone")
        if (settled := _settled(grant, call)) is not None:
            return settled
        wait = self._await(grant, call)
        return self._go(grant, call) if wait is None else wait

    def _worth_watching(self, grant: Grant, call: Call) -> float:
        """Seconds for which somebody else may still be asking for it; 0 if nobody is, or nobody has to wait."""
        if _settled(grant, call) is not None or grant.lease_left is None:
            return 0.0
        return min(grant.lease_left, self._patience(grant, call))

    def _patience(self, grant: Grant, call: Call) -> float:
        timeouts = get_app(grant.app).timeouts
        return timeouts.lease + timeouts.wait - (self.clock() - call.started)

    def _await(self, grant: Grant, call: Call) -> Outcome | float | None:
        """What there is to wait for, and how long until the next look."""
        if self._patience(grant, call) <= 0:
            return Outcome(kind="unavailable", reason="busy", retry_after=grant.lease_left)
        if grant.retry_in > 0 and not call.forced:
            if grant.retry_in <= min(SHORT, get_app(grant.app).timeouts.wait - (self.clock() - call.started)):
                return grant.retry_in
            return Outcome(kind="unavailable", reason="backing_off", retry_after=grant.retry_in)
        return None

    def _go(self, grant: Grant, call: Call) -> Outcome | float:
        try:
            gate = self.store.gate(grant, forced=call.forced)
        except Error as error:
            return _blind(error)
        if gate.closed:
            return Outcome(kind="unavailable", reason=gate.closed, retry_after=gate.retry_after)
        claimed_at = self.clock()
        try:
            claim = self.store.claim(grant, lease=get_app(grant.app).timeouts.lease)
        except Error as error:
            return self._refused(grant, call, error)
        if claim is None:
            return self.pace.pause(0.0)  # somebody else has it since the reading
        return self._spend(claim, gate, call, claimed_at)

    def _refused(self, grant: Grant, call: Call, error: Error) -> Outcome | float:
        """What cannot commit a claim could not store an answer either: the token is not spent."""
        logger.warning("event=claim_refused connection=%s error=%s", grant.uuid, type(error).__name__)
        if self.clock() - call.started < CLAIM_TRIES:
            return random.uniform(*RETRY)  # noqa: S311  # spreads tries; guards nothing
        return Outcome(kind="unavailable", reason="row_locked", retry_after=1.0)

    def _spend(self, claim: Claim, gate: Gate, call: Call, claimed_at: float) -> Outcome | float:
        """Asks, and writes down what came of it; a pause when the row has moved on, or deserves another try."""
        asked_at = self.clock()
        answer = self._ask(claim, claimed_at)
        if answer is None:
            return self._give_back(claim)
        took = self.clock() - asked_at
        outcome = self._write_down(claim, answer, claimed_at, took)
        self.pace.learn(self.clock() - asked_at)  # from the lease to the store: so long do the others wait
        self._weigh(claim.grant, gate, answer)
        if outcome is None:
            return 0.0
        _log(claim.grant, outcome, took)
        if outcome.reason == CONTENTION and self.clock() - call.started < get_app(claim.grant.app).timeouts.wait:
            return outcome.retry_after or 0.0
        return outcome

    @sensitive_variables()
    def _write_down(
        self, claim: Claim, answer: TokenAnswer | Refusal, claimed_at: float, took: float
    ) -> Outcome | None:
        if isinstance(answer, TokenAnswer):
            return self._persist(claim, claimed_at, lambda: self._store(claim, answer, took))
        verdict = judge(claim, answer)
        return self._persist(claim, claimed_at, lambda: self._fail(claim, verdict, took))

    @sensitive_variables()
    def _ask(self, claim: Claim, claimed_at: float) -> TokenAnswer | Refusal | None:
        """Salesforce's answer; None when too little of the lease is left for a whole exchange."""
        grant = claim.grant
        app = get_app(grant.app)
        if grant.refresh_token is None:  # claimed rows have one; the type does not know
            return _unreadable()
        self.store.let_go()
        try:
            grant.refresh_token.reveal()  # here, since keys may be slow to come; no variable keeps it in clear
            if self.clock() - claimed_at > app.timeouts.lease - app.timeouts.total:
                return None
            answer = self.ask(app, login_url=grant.login_url, refresh_token=grant.refresh_token.reveal())
            return of_its_org(grant, answer)
        except TokenUnreadable:
            return _unreadable()
        except ConfigurationError as error:
            return Refusal(actor=Actor.OPERATOR, reason=error.code)

    def _give_back(self, claim: Claim) -> float:
        """This process slept after its claim, for so long that somebody else may ask before it is answered."""
        logger.warning("event=claim_outdated connection=%s", claim.grant.uuid)
        stale = Verdict(kind="unavailable", reason="outdated", in_doubt=claim.in_doubt, backs_off=False)
        self._persist(claim, self.clock(), lambda: self._fail(claim, stale, 0.0))
        return 0.0

    def _persist(self, claim: Claim, claimed_at: float, write: Callable[[], Outcome | None]) -> Outcome | None:
        """The answer may hold the only refresh token that still works: it is written before anything else."""
        lease = get_app(claim.grant.app).timeouts.lease
        until = max(claimed_at + lease, self.clock() + LATE_TRIES)
        while True:
            try:
                return write()
            except Exception as error:
                # Any at all: what fetches the database's password, say, has errors of its own.
                logger.error("event=store_failed connection=%s error=%s", claim.grant.uuid, type(error).__name__)
            self.store.let_go()
            if self.clock() > until:
                # The lease stays as it is: whoever comes next knows that this generation is in doubt.
                return Outcome(kind="unavailable", reason="store_failed")
            self.sleep(random.uniform(*RETRY))  # noqa: S311  # spreads tries; guards nothing

    def _store(self, claim: Claim, answer: TokenAnswer, took: float) -> Outcome | None:
        grant = self.store.store(claim, answer, took=took)
        return Outcome(kind="renewed", grant=grant) if grant else None

    def _fail(self, claim: Claim, judged: Verdict, took: float) -> Outcome | None:
        verdict = self.store.fail(claim, judged, took=took)
        if verdict is None:
            return None
        grant = claim.grant
        if verdict.status is not None:
            grant = replace(grant, status=verdict.status, reason=verdict.reason)
        return Outcome(kind=verdict.kind, reason=verdict.reason, grant=grant, retry_after=verdict.retry_in)

    def _weigh(self, grant: Grant, gate: Gate, answer: TokenAnswer | Refusal) -> None:
        """What the answer says about more than this grant. It comes last, and its failure harms nobody."""
        app, host = get_app(grant.app), host_of(grant.login_url)
        try:
            if host_failed(answer):
                if self.failures.failed(host, app.breaker, self.clock()):
                    self.store.hold_host(grant)
                return
            if isinstance(answer, Refusal) and answer.status is None:
                return  # it was not asked
            self.failures.answered(host)
            tested = gate.probes if isinstance(answer, TokenAnswer) else _of_hosts(gate.probes)
            if tested:
                self.store.lift(tested)
        except Error as error:
            logger.warning("event=hold_failed error=%s", type(error).__name__)


def _log(before: Grant, outcome: Outcome, took: float) -> None:
    event = "refreshed" if outcome.kind == "renewed" else "refresh_failed"
    about = (event, before.uuid, outcome.kind, outcome.reason, before.backoff_step == 0, took)
    logger.info("event=%s connection=%s kind=%s reason=%s first=%s seconds=%.3f", *about)


def _blind(error: Error) -> Outcome:
    logger.warning("event=read_failed error=%s", type(error).__name__)
    return Outcome(kind="unavailable", reason="database_unavailable", retry_after=1.0)


def _is_clear(grant: Grant) -> bool:
    """Whether there is nothing to wait for, to weigh or to doubt."""
    unclear = (grant.lease_owner, grant.retry_at, grant.in_doubt_since, grant.withheld or None)
    return grant.status == Status.ACTIVE and unclear == (None,) * 4 and _opens(grant.refresh_token)


@sensitive_variables()
def _opens(token: Sealed | None) -> bool:
    """What was read long ago, as from a cache, may be sealed under a key that is gone; its row no longer is."""
    try:
        return token is not None and bool(token.reveal())
    except TokenUnreadable:
        return False


def _settled(grant: Grant, call: Call) -> Outcome | None:
    """What the row already says, when it leaves nothing to ask."""
    if grant.status == Status.DISCONNECTED or grant.refresh_token is None:
        return Outcome(kind="gone", grant=grant)
    if grant.generation > call.generation and grant.status == Status.ACTIVE:
        return Outcome(kind="renewed", grant=grant)
    if call.forced:
        return None
    if grant.status == Status.RECONNECT_REQUIRED:
        return Outcome(kind="dead", reason=grant.reason, grant=grant)
    if grant.status == Status.BLOCKED and grant.retry_in > 0:
        return Outcome(kind="blocked", reason=grant.reason, grant=grant)
    if call.ahead and grant.in_doubt and grant.status == Status.ACTIVE and grant.expires_in > 0:
        # The one retry may end the grant, so that what still works is used up first.
        return Outcome(kind="unavailable", reason="in_doubt", retry_after=grant.expires_in)
    return None


def _unreadable() -> Refusal:
    return Refusal(actor=Actor.USER, reason="unreadable")


def _of_hosts(scopes: tuple[str, ...]) -> tuple[str, ...]:
    """A refusal shows that the host is well, and says nothing of the fleet."""
    return tuple(scope for scope in scopes if scope.startswith("host:"))
