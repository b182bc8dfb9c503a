from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from django_sf_oauth.exceptions import (
    AccessBlocked,
    ConfigurationError,
    NotConnected,
    ReconnectRequired,
    SalesforceOAuthError,
    TemporarilyUnavailable,
)
from django_sf_oauth.grants.contract import Outcome, Status
from django_sf_oauth.grants.outcome import raise_unless_active, raise_unless_renewed

Error = type[SalesforceOAuthError]


@dataclass
class Subject:
    status: str = Status.ACTIVE
    reason: str = ""
    reconnect_url: str = "/salesforce/x/reconnect/"
    uuid: UUID = field(default_factory=uuid4)


@pytest.mark.parametrize(
    ("status", "reason", "error", "code"),
    [
        (Status.RECONNECT_REQUIRED, "revoked", ReconnectRequired, "revoked"),
        (Status.RECONNECT_REQUIRED, "", ReconnectRequired, "reconnect_required"),
        (Status.RECONNECT_REQUIRED, "unreadable", ReconnectRequired, "unreadable"),
        (Status.BLOCKED, "ip_restricted", AccessBlocked, "ip_restricted"),
        (Status.DISCONNECTED, "", NotConnected, "not_connected"),
    ],
)
def test_a_status_says_who_must_act(status: Status, reason: str, error: Error, code: str) -> None:
    subject = Subject(status=status, reason=reason)

    with pytest.raises(error) as caught:
        raise_unless_active(subject)

    assert type(caught.value) is error
    assert (caught.value.code, caught.value.connection_id) == (code, subject.uuid)


def test_an_active_connection_may_be_used() -> None:
    raise_unless_active(Subject())


@pytest.mark.parametrize(
    ("outcome", "error", "code"),
    [
        (Outcome(kind="dead", reason="revoked"), ReconnectRequired, "revoked"),
        (Outcome(kind="dead", reason="unreadable"), ReconnectRequired, "unreadable"),
        (Outcome(kind="blocked", reason="app_blocked"), AccessBlocked, "app_blocked"),
        (Outcome(kind="misconfigured", reason="invalid_client"), ConfigurationError, "invalid_client"),
        (Outcome(kind="gone"), NotConnected, "not_connected"),
        (Outcome(kind="unavailable", reason="timeout"), TemporarilyUnavailable, "timeout"),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_the_end_of_a_refresh_says_who_must_act(outcome: Outcome, error: Error, code: str) -> None:
    subject = Subject()

    with pytest.raises(error) as caught:
        raise_unless_renewed(outcome, subject)

    assert type(caught.value) is error
    assert (caught.value.code, caught.value.connection_id) == (code, subject.uuid)


def test_a_renewed_connection_may_be_used() -> None:
    raise_unless_renewed(Outcome(kind="renewed"), Subject())


def test_who_has_to_reconnect_is_told_where() -> None:
    with pytest.raises(ReconnectRequired) as caught:
        raise_unless_active(Subject(status=Status.RECONNECT_REQUIRED))

    assert caught.value.reconnect_url == "/salesforce/x/reconnect/"


def test_who_has_to_wait_is_told_how_long() -> None:
    with pytest.raises(TemporarilyUnavailable) as caught:
        raise_unless_renewed(Outcome(kind="unavailable", retry_after=3.5), Subject())

    assert caught.value.retry_after == 3.5
