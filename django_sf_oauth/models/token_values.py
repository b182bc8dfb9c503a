"""The columns that a token answer sets."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from django.utils import timezone

from django_sf_oauth.conf import AppSettings
from django_sf_oauth.fields import sealed_field
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.grants.due import next_refresh_at
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
    def last_used_at(self) -> datetime | None: ...


def token_values(holder: Holder, answer: TokenAnswer, app: AppSettings) -> dict[str, Any]:
    """By column; what the answer does not mention stays as it is."""
    now = timezone.now()
    expires_at = now + _lifetime(answer, app, now.timestamp())
    values: dict[str, Any] = {
        "access_token": _sealed(holder, "access_token", answer.access_token),
        "issued_at": _issued_at(answer, now),
        "expires_at": expires_at,
        "last_refreshed_at": now,
        "next_refresh_at": next_refresh_at(
            uuid=holder.uuid,
            now=now,
            expires_at=expires_at,
            last_used_at=holder.last_used_at,
            heartbeat=app.heartbeat,
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
    if answer.refresh_token:
        values["refresh_token"] = _sealed(holder, "refresh_token", answer.refresh_token)
    if answer.instance_url and is_usable_instance(answer.instance_url, app) and _is_of_its_org(holder, answer):
        values["instance_url"] = answer.instance_url
    return values


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


def _lifetime(answer: TokenAnswer, app: AppSettings, now: float) -> timedelta:
    """Salesforce sends no ``expires_in``; a JWT says it itself, an opaque token lives as long as a session."""
    if answer.expires_in is not None:
        return timedelta(seconds=answer.expires_in)
    if expiry := jwt_expiry(answer.access_token):
        return timedelta(seconds=max(0.0, expiry - now))
    return app.session_lifetime


def _sealed(holder: Holder, name: str, plain: str) -> bytes:
    return sealed_field(SalesforceConnection, name).ciphertext(holder.uuid, plain)
