"""Rows in memory for the engine, so that every interleaving can be played without a database."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import OperationalError

from django_sf_oauth.conf import AppSettings
from django_sf_oauth.fields import Sealed, seal
from django_sf_oauth.grants.contract import OPEN, Claim, Gate, Grant, Status, Verdict
from django_sf_oauth.protocol.errors import Refusal
from django_sf_oauth.protocol.tokens import TokenAnswer

__all__ = ["EPOCH", "KEY", "Clock", "MemoryStore", "ScriptedAsk", "grant", "sealed"]

KEY = 1
EPOCH = datetime(2026, 11, 21, tzinfo=UTC)


def sealed(plain: str) -> Sealed:
    return Sealed(seal(plain, "memory"), "memory")


def grant(**values: Any) -> Grant:
    defaults: dict[str, Any] = {
        "key": KEY,
        "uuid": uuid4(),
        "app": "default",
        "login_url": "https://login.salesforce.com",
        "organization_id": "00D000000000001EAA",
        "connected_at": EPOCH,
        "instance_url": "https://acme.my.salesforce.com",
        "generation": 1,
        "status": Status.ACTIVE,
        "reason": "",
        "access_token": sealed("access-1"),
        "refresh_token": sealed("refresh-1"),
    }
    return Grant(**{**defaults, **values})


@dataclass
class Clock:
    """Time that passes only while somebody sleeps."""

    now: float = 0.0
    naps: list[float] = field(default_factory=list)
    on_sleep: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds
        self.on_sleep()

    def read(self) -> float:
        return self.now


@dataclass
class Lease:
    owner: UUID
    until: float


@dataclass
class MemoryStore:
    """One row, by the rules of `GrantStore`.

    Attributes:
        urgent: of each claim at once, whether somebody waits for it.
        vanished: the refresh token is taken away between the reading of the row and its claim.
        errors: are raised by the calls of that name, one each.
    """

    clock: Clock
    row: Grant | None = field(default_factory=grant)
    lease: Lease | None = None
    in_doubt: bool = False
    retry_at: float | None = None
    gates: deque[Gate] = field(default_factory=deque)
    withholds: bool = False
    held_hosts: list[str] = field(default_factory=list)
    lifted: list[str] = field(default_factory=list)
    reads: int = 0
    vanished: bool = False
    open: bool = False
    discarded: list[TokenAnswer] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    urgent: list[bool] = field(default_factory=list)
    errors: dict[str, deque[Exception]] = field(default_factory=dict)
    inline: Callable[[], bool] = lambda: False

    def read(self, key: int) -> Grant | None:
        self._opened("read")
        self.reads += 1
        return None if self.row is None else self._seen(self.row)

    def _seen(self, row: Grant) -> Grant:
        """The row with all that depends on the time."""
        now = self.clock.now
        left = None if self.lease is None else self.lease.until - now
        return replace(
            row,
            retry_at=None if self.retry_at is None else EPOCH + timedelta(seconds=self.retry_at),
            retry_in=max(row.retry_in, (self.retry_at or 0.0) - now),
            lease_left=left,
            in_doubt=self.in_doubt or (left is not None and left <= 0),
        )

    def gate(self, grant: Grant, *, forced: bool) -> Gate:
        self._opened("gate")
        return self.gates.popleft() if self.gates else OPEN

    def hold_host(self, grant: Grant) -> None:
        self._opened("hold_host")
        self.held_hosts.append(grant.login_url)

    def lift(self, scopes: tuple[str, ...]) -> None:
        self.lifted.extend(scopes)

    def claim_at_once(self, grant: Grant, *, lease: float, urgent: bool = False) -> Claim | None:
        """On a connection that is not the caller's. What is held is among `gates`."""
        if self.gates or self.row is None or self.lease is not None:
            return None
        self.urgent.append(urgent)
        return self._take(grant, lease)

    def claim(self, grant: Grant, *, lease: float) -> Claim | None:
        self._opened("claim")
        return self._take(grant, lease)

    def _take(self, grant: Grant, lease: float) -> Claim | None:
        current = self._seen(self._row())
        taken = self.lease is not None and self.lease.until > self.clock.now
        marks = ("generation", "retry_at", "status", "withheld", "in_doubt")
        if taken or any(getattr(current, mark) != getattr(grant, mark) for mark in marks):
            return None
        self.in_doubt = self.in_doubt or self.lease is not None
        self.lease = Lease(uuid4(), self.clock.now + lease)
        claimed = replace(grant, refresh_token=None) if self.vanished else grant
        return Claim(grant=claimed, owner=self.lease.owner, in_doubt=self.in_doubt)

    def store(self, claim: Claim, answer: TokenAnswer, *, took: float = 0.0) -> Grant | None:
        self._opened("store")
        if self.row is None or self.row.generation != claim.grant.generation:
            self.discarded.append(answer)
            return None
        rotated = sealed(answer.refresh_token) if answer.refresh_token else self.row.refresh_token
        is_late = self.lease is None or self.lease.owner != claim.owner
        self.row = replace(
            self.row,
            access_token=sealed(answer.access_token),
            refresh_token=rotated,
            generation=self.row.generation + 1,
            status=Status.ACTIVE,
            reason="",
        )
        self.lease, self.in_doubt, self.retry_at = None, is_late, None
        return self.row

    def fail(self, claim: Claim, verdict: Verdict, *, took: float = 0.0) -> Verdict | None:
        self._opened("fail")
        if self.lease is None or self.lease.owner != claim.owner:
            return None
        if self.withholds and verdict.kind == "dead":
            verdict = Verdict(kind="unavailable", reason="fleet_guard", withheld=verdict.reason)
        self.verdicts.append(verdict)
        self.lease, self.in_doubt = None, verdict.in_doubt
        self.retry_at = None if verdict.retry_in is None else self.clock.now + verdict.retry_in
        step = self._row().backoff_step + int(verdict.backs_off)
        self.row = replace(self._row(), backoff_step=step, withheld=verdict.withheld)
        if verdict.status is not None:
            self.row = replace(self.row, status=verdict.status, reason=verdict.reason)
        return verdict

    def keeps_for(self) -> float:
        return 0.03

    def let_go(self) -> None:
        self.open = False

    def disconnect(self) -> None:
        row = self._row()
        self.row = replace(
            row,
            status=Status.DISCONNECTED,
            access_token=None,
            refresh_token=None,
            generation=row.generation + 1,
        )
        self.lease = None

    def fails(self, operation: str, *, times: int = 1, error: Exception | None = None) -> None:
        self.errors.setdefault(operation, deque()).extend([error or OperationalError("down")] * times)

    def _row(self) -> Grant:
        assert self.row is not None
        return self.row

    def _opened(self, operation: str) -> None:
        self.open = True
        if planned := self.errors.get(operation):
            raise planned.popleft()


class ScriptedAsk:
    """Stands for Salesforce: gives the answers in turn, and remembers which refresh tokens were spent."""

    def __init__(self, store: MemoryStore, *answers: TokenAnswer | Refusal | Exception) -> None:
        self.store = store
        self.answers = deque(answers)
        self.spent: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def __call__(self, app: AppSettings, *, login_url: str, refresh_token: str) -> TokenAnswer | Refusal:
        assert not self.store.open, "a database connection is held while Salesforce is asked"
        self.spent.append(refresh_token)
        answer = self.answers.popleft()
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        if isinstance(answer, Exception):
            raise answer
        return answer
