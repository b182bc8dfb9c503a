"""However a connection is deleted, its grant is ended at Salesforce and its history stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.models.record import record
from django_sf_oauth.models.signing import fingerprints
from django_sf_oauth.services.revoking import revoke_pending
from django_sf_oauth.testing import FakeSalesforce
from tests.audit.tampering import Kind, events_of, wrongs
from tests.factories import make_user
from tests.fleet import connect_one

pytestmark = pytest.mark.django_db(transaction=True)

ADMIN = "/admin/django_sf_oauth/salesforceconnection/"


def in_the_admin(row: SalesforceConnection) -> None:
    client = Client()
    client.force_login(make_user(is_staff=True, is_superuser=True))
    client.post(f"{ADMIN}{row.pk}/delete/", {"post": "yes"})


DELETIONS: dict[str, Callable[[SalesforceConnection], Any]] = {
    "instance": lambda row: row.delete(),
    "queryset": lambda row: SalesforceConnection.objects.filter(pk=row.pk).delete(),
    "user": lambda row: row.user.delete(),
    "queryset of users": lambda row: get_user_model().objects.filter(pk=row.user_id).delete(),
    "admin": in_the_admin,
}


@pytest.mark.parametrize("name", DELETIONS)
def test_what_is_deleted_is_revoked_and_stays_in_the_audit(fake_salesforce: FakeSalesforce, name: str) -> None:
    row = connect_one(fake_salesforce)
    record(row, Kind.CONNECTED)
    token = row.refresh_token.reveal() if row.refresh_token else ""
    uuid, user_key = row.uuid, str(row.user_id)

    DELETIONS[name](row)
    counts = revoke_pending()

    row.uuid = uuid
    events = events_of(row)
    assert counts == {"revoked": 1}
    assert not any(fake_salesforce.world.live_approvals())
    assert not SalesforceConnection.objects.exists()
    assert [(event.kind, event.sequence) for event in events] == [
        (Kind.CONNECTED, 1),
        (Kind.DELETED, 2),
        (Kind.REVOKED, 3),
    ]
    assert {event.user_key for event in events[:2]} == {user_key}
    assert {event.fingerprint for event in events} == {fingerprints(token)[0]}
    assert wrongs() == []


def test_a_token_given_up_is_known_by_its_fingerprint(fake_salesforce: FakeSalesforce) -> None:
    row = connect_one(fake_salesforce)
    token = row.refresh_token.reveal() if row.refresh_token else ""

    row.disconnect()

    marks = {event.kind: event.fingerprint for event in events_of(row)}
    assert marks == dict.fromkeys([Kind.DISCONNECTED, Kind.REVOKED], fingerprints(token)[0])
