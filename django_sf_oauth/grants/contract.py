"""What the engine and the rows agree on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from django_sf_oauth.fields import Sealed
from django_sf_oauth.protocol.tokens import TokenAnswer

__all__ = ["WATCHED", "Claim", "Grant", "GrantStore", "Outcome", "Status", "Verdict"]


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
    retry_in: float = 0.0
    """Seconds until its back-off ends."""
    failure_count: int = 0
    backoff_step: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The right to spend a refresh token, until the lease ends."""

    grant: Grant
    owner: UUID
    in_doubt: bool
    """An earlier exchange of this generation never said how it ended: its token may be spent already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a refusal means for the row. ``status`` None leaves it as it is."""

    kind: Literal["dead", "blocked", "misconfigured", "unavailable"]
    reason: str
    status: Status | None = None
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

    def held(self, grant: Grant) -> str:
        """Why no token request may be made for it right now, or an empty string."""
        ...

    def claim(self, grant: Grant, *, lease: float) -> Claim | None:
        """Takes the lease (seconds), in a commit of its own; None when somebody has or had it since the reading.

        Raises:
            DatabaseError: the row could not be written in bounded time; nothing was spent.
        """
        ...

    def store(self, claim: Claim, answer: TokenAnswer) -> Grant | None:
        """Stores an answer if the row still waits for it, in a commit of its own; None when it moved on."""
        ...

    def fail(self, claim: Claim, verdict: Verdict) -> bool:
        """Writes what a refusal means and gives the lease back; False when the lease had ended."""
        ...

    def let_go(self) -> None:
        """Closes the thread's own connections: none is held while Salesforce is asked."""
        ...
