"""The columns that a token answer sets."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from django.utils import timezone

from django_sf_oauth.conf import AppSettings
from django_sf_oauth.fields import sealed_field
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.grants.due import next_refresh_at, pause_of, regrown
from django_sf_oauth.grants.suspicion import refresh_load
from django_sf_oauth.protocol.hosts import is_trusted_url
from django_sf_oauth.protocol.identity import orgs_named
from django_sf_oauth.protocol.tokens import TokenAnswer, jwt_expiry

from .connection import SalesforceConnection

__all__ = ["is_usable_instance", "token_values"]

LONGEST_URL = 255  # characters


class Holder(Protocol):
    """Whose tokens they are: a row, or a reading of one."""

    @property
    def uuid(self) -> UUID: ...

    @property
    def organization_id(self) -> str: ...

    @property
    def instance_url(self) -> str: ...

    @property
    def last_used_at(self) -> datetime | None: ...

    @property
    def told_lifetime(self) -> timedelta | None: ...

    @property
    def learned_lifetime(self) -> timedelta | None: ...

    @property
    def last_refreshed_at(self) -> datetime | None: ...

    @property
    def refresh_load(self) -> float: ...


def token_values(holder: Holder, answer: TokenAnswer, app: AppSettings) -> dict[str, Any]:
    """By column; what the answer does not mention stays as it is."""
    now = timezone.now()
    full = holder.told_lifetime or app.session_lifetime
    learned = regrown(holder.learned_lifetime, full=full)
    fixed = _fixed_lifetime(answer, now.timestamp())
    expires_at = now + (learned or full if fixed is None else fixed)
    values: dict[str, Any] = {
        "access_token": _sealed(holder, "access_token", answer.access_token),
        "issued_at": _issued_at(answer, now),
        "expires_at": expires_at,
        "slides": fixed is None,
        "last_refreshed_at": now,
        "refresh_load": refresh_load(holder.refresh_load, holder.last_refreshed_at, now),
        "next_refresh_at": next_refresh_at(
            uuid=holder.uuid,
            now=now,
            refreshed_at=now,
            expires_at=expires_at,
            last_used_at=holder.last_used_at,
            pause=pause_of(app.heartbeat, app.expires_if_unused),
        ),
        "status": Status.ACTIVE,
        "reason": "",
        "withheld": "",
        "failure_count": 0,
        "backoff_step": 0,
        "retry_at": None,
        "lease_owner": None,
        "lease_until": None,
        "in_doubt_since": None,
    }
    if holder.learned_lifetime is not None:
        values["learned_lifetime"] = learned
    if answer.refresh_token:
        values["refresh_token"] = _sealed(holder, "refresh_token", answer.refresh_token)
    if _has_moved(holder, answer, app):
        values["instance_url"] = answer.instance_url
    return values


def _has_moved(holder: Holder, answer: TokenAnswer, app: AppSettings) -> bool:
    url = answer.instance_url
    if not url or url == holder.instance_url:
        return False
    return is_usable_instance(url, app) and _is_of_its_org(holder, answer)


def _is_of_its_org(holder: Holder, answer: TokenAnswer) -> bool:
    """Whether the answer says so: an attacker's own org has a host under the same domain of Salesforce's."""
    named = orgs_named(identity_url=answer.id, access_token=answer.access_token)
    return named == {holder.organization_id[:15]}


def is_usable_instance(url: str, app: AppSettings) -> bool:
    """Whether tokens may be sent there, and the column holds it: neither is worth the tokens that came with it."""
    return len(url) <= LONGEST_URL and is_trusted_url(url, app.trusted_hosts)


def _issued_at(answer: TokenAnswer, now: datetime) -> datetime:
    """By Salesforce's clock, which sends milliseconds; by ours when it says nothing, or nothing sensible."""
    if answer.issued_at_ms is None:
        return now
    return datetime.fromtimestamp(answer.issued_at_ms / 1000, tz=now.tzinfo)


def _fixed_lifetime(answer: TokenAnswer, now: float) -> timedelta | None:
    """Salesforce sends no ``expires_in``; a JWT says it itself; None for a session, which each use prolongs."""
    if answer.expires_in is not None:
        return timedelta(seconds=answer.expires_in)
    if expiry := jwt_expiry(answer.access_token):
        return timedelta(seconds=max(0.0, expiry - now))
    return None


def _sealed(holder: Holder, name: str, plain: str) -> bytes:
    return sealed_field(SalesforceConnection, name).ciphertext(holder.uuid, plain)
