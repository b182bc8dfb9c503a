"""From the state of a connection, or the end of a refresh, to the error that a caller sees."""

from __future__ import annotations

from typing import NoReturn, Protocol
from uuid import UUID

from django_sf_oauth.exceptions import (
    AccessBlocked,
    ConfigurationError,
    NotConnected,
    ReconnectRequired,
    TemporarilyUnavailable,
)

from .contract import Outcome, Status

__all__ = ["raise_unless_active", "raise_unless_renewed"]


class Subject(Protocol):
    """The connection that an error is about."""

    uuid: UUID
    status: str
    reason: str

    @property
    def reconnect_url(self) -> str: ...


def raise_unless_active(subject: Subject) -> None:
    """Raises what `Status` and reason of a connection that cannot be used stand for."""
    if subject.status != Status.ACTIVE:
        _raise(KINDS[Status(subject.status)], subject.reason, subject)


def raise_unless_renewed(outcome: Outcome, subject: Subject) -> None:
    """Raises what the outcome of a refresh means to somebody who needed a new access token."""
    if outcome.kind != "renewed":
        _raise(outcome.kind, outcome.reason, subject, outcome.retry_after)


KINDS = {
    Status.RECONNECT_REQUIRED: "dead",
    Status.BLOCKED: "blocked",
    Status.DISCONNECTED: "gone",
}


def _raise(kind: str, reason: str, subject: Subject, retry_after: float | None = None) -> NoReturn:
    who = subject.uuid
    match kind:
        case "dead":
            raise ReconnectRequired(code=reason, reconnect_url=subject.reconnect_url, connection_id=who)
        case "blocked":
            raise AccessBlocked(code=reason, connection_id=who)
        case "misconfigured":
            raise ConfigurationError(code=reason, connection_id=who)
        case "gone":
            raise NotConnected(connection_id=who)
        case _:
            raise TemporarilyUnavailable(code=reason, retry_after=retry_after, connection_id=who)
