"""What the engine and the rows agree on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from django_sf_oauth.fields import Sealed
from django_sf_oauth.protocol.tokens import TokenAnswer

__all__ = ["OPEN", "WATCHED", "Claim", "Gate", "Grant", "GrantStore", "Outcome", "Status", "Verdict"]


class Status(TextChoices):
    """Who must act."""

    ACTIVE = "active", _("active")
    RECONNECT_REQUIRED = "reconnect_required", _("reconnect required")
    BLOCKED = "blocked", _("blocked")
    DISCONNECTED = "disconnected", _("disconnected")


# What the sweep looks at: a blocked connection is probed once a day, since nobody tells us when it is allowed.
WATCHED = frozenset({Status.ACTIVE, Status.BLOCKED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """One reading of a row."""

    key: int
    uuid: UUID
    app: str
    login_url: str
    organization_id: str
    connected_at: datetime
    instance_url: str
    generation: int
    status: str
    reason: str
    access_token: Sealed | None
    refresh_token: Sealed | None
    expires_at: datetime | None = None
    expires_in: float = 0.0
    """Seconds that the access token is expected to live on."""
    retry_at: datetime | None = None
    retry_in: float = 0.0
    """Seconds until its back-off ends."""
    lease_owner: UUID | None = None
    lease_left: float | None = None
    """Seconds until the lease ends, negative once it has; None when nobody took it."""
    last_used_at: datetime | None = None
    last_refreshed_at: datetime | None = None
    told_lifetime: timedelta | None = None
    learned_lifetime: timedelta | None = None
    refresh_load: float = 0.0
    """Refreshes within about an hour, see `suspicion.refresh_load`."""
    in_doubt_since: datetime | None = None
    in_doubt: bool = False
    """An earlier exchange of this generation never said how it ended, so its token may be spent already."""
    withheld: str = ""
    """Reason of a dead grant that the fleet guard keeps from being believed."""
    failure_count: int = 0
    backoff_step: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The right to spend a refresh token, until the lease ends."""

    grant: Grant
    owner: UUID
    in_doubt: bool
    """As of the moment of the claim: a lease that ended without a word counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """Whether a token request may be made now."""

    closed: str = ""
    """Code of what keeps it from being made; empty when nothing does."""
    retry_after: float | None = None
    probes: tuple[str, ...] = ()
    """Scopes of the holds that this request was chosen to test: they end if it goes well."""


OPEN = Gate()


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a refusal means for the row. ``status`` None leaves it as it is."""

    kind: Literal["dead", "blocked", "misconfigured", "unavailable"]
    reason: str
    status: Status | None = None
    withheld: str = ""
    """The reason that is noted instead of being believed."""
    backs_off: bool = True
    """Whether the next pause is longer."""
    counts: bool = False
    in_doubt: bool = False
    retry_in: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a refresh ended, for everybody who waited for it."""

    kind: Literal["renewed", "dead", "blocked", "misconfigured", "unavailable", "gone"]
    reason: str = ""
    grant: Grant | None = field(default=None, repr=False)
    retry_after: float | None = None


class GrantStore(Protocol):
    """Rows as the engine sees them. All but `inline` run on a connection that the engine's thread owns."""

    def inline(self) -> bool:
        """Whether the caller's own transaction is the only place where its rows exist (a `TestCase`)."""
        ...

    def read(self, key: int) -> Grant | None: ...

    def gate(self, grant: Grant, *, forced: bool) -> Gate:
        """Whether a token request may be made for it right now: kill switch, breaker and fleet guard."""
        ...

    def claim_at_once(self, grant: Grant, *, lease: float, urgent: bool = False) -> Claim | None:
        """Claims what somebody has read, if nothing is held against it and it can be done without waiting.

        `urgent`: somebody waits for its answer. None says nothing of why: it takes a look at the row. It raises
        nothing.
        """
        ...

    def claim(self, grant: Grant, *, lease: float) -> Claim | None:
        """Takes the lease (seconds), in a commit of its own; None when somebody has or had it since the reading.

        Raises:
            DatabaseError: the row could not be written in bounded time; nothing was spent.
        """
        ...

    def store(self, claim: Claim, answer: TokenAnswer, *, took: float = 0.0) -> Grant | None:
        """Stores an answer if the row still waits for it, in a commit of its own; None when it moved on.

        `took`: seconds until Salesforce had answered.
        """
        ...

    def fail(self, claim: Claim, verdict: Verdict, *, took: float = 0.0) -> Verdict | None:
        """Writes what a refusal means and gives the lease back. `took`: as in `store`.

        Returns:
            What was written: the fleet guard may withhold a verdict. None when the row moved on.
        """
        ...

    def hold_host(self, grant: Grant) -> None:
        """Keeps everybody from the grant's token host for a while."""
        ...

    def lift(self, scopes: tuple[str, ...]) -> None:
        """Ends holds that have been tested."""
        ...

    def keeps_for(self) -> float:
        """Seconds: in a pause no longer than that, `let_go` is not worth it."""
        ...

    def let_go(self) -> None:
        """Closes the thread's own connections: none is held while Salesforce is asked."""
        ...
