"""Two rows that no key opens, among ten thousand: everything goes on, and names them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.protocol.identity import to_18
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection, make_user
from tests.fleet import connect_many
from tests.test_keys import flip_a_byte, stored, write

from .conftest import Run

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.urls")]

MANY, DUE = 10_000, 20
ADMIN = "/admin/django_sf_oauth/salesforceconnection/"
UNREADABLE = "reconnect_required\tunreadable"


@pytest.fixture
def bad(fake_salesforce: FakeSalesforce) -> list[SalesforceConnection]:
    """One with a flipped byte, and one with the refresh token of another; both are due, with others."""
    due = connect_many(fake_salesforce, DUE, next_refresh_at=timezone.now() - timedelta(minutes=1))
    user = make_user()
    rows = [
        make_connection(user=user, save=False, salesforce_user_id=to_18(f"005{number:012d}"))
        for number in range(10**9, 10**9 + MANY - DUE)
    ]
    SalesforceConnection.objects.bulk_create(rows, batch_size=1000)
    flip_a_byte(due[3].pk)
    write(due[7].pk, stored(due[8].pk))
    return [due[3], due[7]]


def test_two_bad_rows_stop_nothing_and_are_named(bad: list[SalesforceConnection], run: Run) -> None:
    uuids = {str(row.uuid) for row in bad}

    listed = run("sf_oauth_list")
    verified = run("sf_oauth_rotate_keys", "--verify", "--json")
    swept = run("sf_oauth_refresh", "--due", "--json")
    flagged = run("sf_oauth_list", "--status", "reconnect_required")

    assert (listed.code, len(listed.out.splitlines())) == (0, MANY)
    assert {row["uuid"] for row in verified.json["unreadable"]} == uuids
    assert verified.code == 1
    assert swept.json == {"renewed": DUE - 2, "dead": 2}
    assert {line.partition("\t")[0] for line in flagged.out.splitlines()} == uuids
    assert flagged.out.count(UNREADABLE) == 2
    assert SalesforceConnection.objects.active().count() == MANY - 2


def test_pages_show_bad_rows_like_others(bad: list[SalesforceConnection], client: Client) -> None:
    client.force_login(bad[0].user)
    page = client.get("/salesforce/")

    assert page.status_code == 200
    assert bad[0].organization_name in page.content.decode()


@pytest.mark.urls("tests.admin_urls")
def test_the_admin_lists_opens_and_deletes_bad_rows(bad: list[SalesforceConnection], client: Client) -> None:
    client.force_login(make_user(is_staff=True, is_superuser=True))

    pages = [
        client.get(ADMIN),
        client.get(ADMIN, {"q": bad[0].username}),
        *(client.get(f"{ADMIN}{row.pk}/change/") for row in bad),
        client.post(f"{ADMIN}{bad[1].pk}/delete/", {"post": "yes"}, follow=True),
    ]

    assert {page.status_code for page in pages} == {200}
    assert bad[0].username in pages[1].content.decode()
    assert not SalesforceConnection.objects.filter(pk=bad[1].pk).exists()
