"""Many connections to one fake Salesforce, and what a sweep claims of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django_sf_oauth.services.batches import BATCH
from django_sf_oauth.services.sweep import claims
from tests.factories import make_connection

if TYPE_CHECKING:
    from django_sf_oauth.models import SalesforceConnection
    from django_sf_oauth.testing import FakeSalesforce
    from django_sf_oauth.testing.records import Org

__all__ = ["claim_due", "connect_many", "connect_one"]


def connect_many(fake: FakeSalesforce, number: int, **values: Any) -> list[SalesforceConnection]:
    """So many connections of one org, each of a Django user and a Salesforce user of its own."""
    return [connect_one(fake, **values) for _ in range(number)]


def connect_one(fake: FakeSalesforce, org: Org | None = None, **values: Any) -> SalesforceConnection:
    user = fake.add_user(f"{next(names)}@acme-outdoor.example", org=org)
    tokens = fake.issue(user)
    facts = {
        "organization_id": user.org.id,
        "salesforce_user_id": user.id,
        "username": user.username,
        "instance_url": tokens["instance_url"],
        "access_token": tokens["access_token"],
        "refresh_token": tokens["refresh_token"],
    }
    return make_connection(**{**facts, **values})


def claim_due(limit: int = BATCH) -> list[int]:
    """The primary keys of one batch that is due, as a sweep claims it."""
    return next(claims(limit=limit, batch=limit), [])


def _names() -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"hiker{number}"


names = _names()
