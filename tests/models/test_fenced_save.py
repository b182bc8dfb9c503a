from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import FieldDoesNotExist
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sf_oauth.exceptions import TemporarilyUnavailable
from django_sf_oauth.models import SalesforceConnection
from tests.factories import make_connection

pytestmark = pytest.mark.django_db

Save = Callable[[SalesforceConnection], Any]
ways_to_save = pytest.mark.parametrize(
    "save",
    [SalesforceConnection.save, lambda row: async_to_sync(row.asave)()],
    ids=["save", "asave"],
)


@pytest.fixture
def row() -> SalesforceConnection:
    return load(make_connection(access_token="access-1", refresh_token="refresh-1"))


def load(row: SalesforceConnection) -> SalesforceConnection:
    return SalesforceConnection.objects.get(pk=row.pk)


def rotate(row: SalesforceConnection) -> None:
    """What another process does while this one holds the row."""
    other = load(row)
    other.access_token, other.refresh_token = "access-2", "refresh-2"
    other.save()


def tokens(row: SalesforceConnection) -> tuple[str, str, int]:
    stored = load(row)
    assert stored.access_token is not None
    assert stored.refresh_token is not None
    return stored.access_token.reveal(), stored.refresh_token.reveal(), stored.generation


@ways_to_save
def test_a_stale_instance_does_not_undo_a_rotation(row: SalesforceConnection, save: Save) -> None:
    rotate(row)

    row.username = "grace@example.com"
    save(row)

    assert tokens(row) == ("access-2", "refresh-2", 2)
    assert load(row).username == "grace@example.com"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", SalesforceConnection.Status.RECONNECT_REQUIRED),
        ("reason", "revoked"),
        ("instance_url", "https://acme-na2.my.salesforce.com"),
        ("lease_owner", uuid4()),
        ("lease_until", 1_700_000_000_000),
        ("in_doubt_since", timezone.now()),
        ("failure_count", 3),
        ("backoff_step", 3),
        ("retry_at", timezone.now()),
        ("issued_at", timezone.now()),
        ("expires_at", timezone.now()),
        ("slides", False),
        ("told_lifetime", timedelta(minutes=30)),
        ("learned_lifetime", timedelta(minutes=15)),
        ("last_used_at", timezone.now()),
        ("last_refreshed_at", timezone.now()),
        ("next_refresh_at", timezone.now() + timedelta(days=1)),
        ("generation", 9),
    ],
)
def test_a_stale_instance_undoes_nothing_of_the_engine(row: SalesforceConnection, name: str, value: Any) -> None:
    SalesforceConnection.objects.filter(pk=row.pk).update(**{name: value})

    row.save()

    assert getattr(load(row), name) == value


def test_naming_a_stale_field_does_not_write_it(row: SalesforceConnection) -> None:
    rotate(row)
    SalesforceConnection.objects.filter(pk=row.pk).update(status="blocked")

    row.save(update_fields=["access_token", "refresh_token", "generation", "status"])

    assert tokens(row) == ("access-2", "refresh-2", 2)
    assert load(row).status == "blocked"


@ways_to_save
def test_an_assigned_token_is_stored_and_moves_the_generation_on(row: SalesforceConnection, save: Save) -> None:
    row.access_token = "access-9"
    save(row)

    assert tokens(row) == ("access-9", "refresh-1", 2)
    assert row.generation == 2


def test_a_token_may_be_assigned_and_saved_again_and_again(row: SalesforceConnection) -> None:
    for number in range(3):
        row.access_token = f"access-{number}"
        row.save()
        row.save()

    assert tokens(row) == ("access-2", "refresh-1", 4)


def test_a_token_and_other_fields_are_saved_together(row: SalesforceConnection) -> None:
    row.refresh_token, row.status, row.username = "refresh-9", "blocked", "grace@example.com"
    row.save()

    stored = load(row)
    assert tokens(row) == ("access-1", "refresh-9", 2)
    assert (stored.status, stored.username) == ("blocked", "grace@example.com")


def test_a_token_may_be_taken_away(row: SalesforceConnection) -> None:
    row.access_token = None
    row.save()

    assert load(row).access_token is None


@ways_to_save
def test_a_token_assigned_to_a_stale_instance_is_refused(row: SalesforceConnection, save: Save) -> None:
    rotate(row)
    row.access_token, row.username = "access-9", "grace@example.com"

    with pytest.raises(TemporarilyUnavailable) as caught:
        save(row)

    assert caught.value.code == "stale"
    assert tokens(row) == ("access-2", "refresh-2", 2)
    assert load(row).username != "grace@example.com"
    assert row.generation == 1


def test_a_refused_token_can_be_saved_after_loading_again(row: SalesforceConnection) -> None:
    rotate(row)
    row.access_token = "access-9"
    with pytest.raises(TemporarilyUnavailable):
        row.save()

    row.refresh_from_db()
    row.access_token = "access-9"
    row.save()

    assert tokens(row) == ("access-9", "refresh-2", 3)


def test_if_the_rest_cannot_be_saved_neither_is_the_token(row: SalesforceConnection) -> None:
    row.access_token, row.scopes = "access-9", None  # the column takes no null

    with pytest.raises(DatabaseError):
        row.save()

    assert tokens(row) == ("access-1", "refresh-1", 1)
    assert row.generation == 1


def test_an_assignment_waits_for_a_save_that_names_it(row: SalesforceConnection) -> None:
    row.access_token, row.status, row.username = "access-9", "blocked", "grace@example.com"

    row.save(update_fields=["username"])
    assert tokens(row) == ("access-1", "refresh-1", 1)
    row.save()

    assert tokens(row) == ("access-9", "refresh-1", 2)
    assert load(row).status == "blocked"


def test_a_new_refresh_token_ends_the_lease_on_the_old(row: SalesforceConnection) -> None:
    SalesforceConnection.objects.filter(pk=row.pk).update(
        lease_owner=uuid4(), lease_until=2**53, in_doubt_since=timezone.now()
    )

    row.access_token = "access-9"
    row.save()
    assert load(row).lease_owner is not None
    row.refresh_token = "refresh-9"
    row.save()

    stored = load(row)
    assert (stored.lease_owner, stored.lease_until, stored.in_doubt_since) == (None, None, None)


def test_a_deferred_field_is_not_written(row: SalesforceConnection) -> None:
    partial = SalesforceConnection.objects.defer("access_token", "status", "username").get(pk=row.pk)
    rotate(row)
    SalesforceConnection.objects.filter(pk=row.pk).update(status="blocked", username="grace@example.com")

    partial.save()

    assert tokens(row) == ("access-2", "refresh-2", 2)
    assert (load(row).status, load(row).username) == ("blocked", "grace@example.com")


def test_naming_a_deferred_field_does_not_load_and_write_it(row: SalesforceConnection) -> None:
    partial = SalesforceConnection.objects.only("uuid").get(pk=row.pk)

    with CaptureQueriesContext(connection) as queries:
        partial.save(update_fields=["access_token", "status"])

    assert len(queries) == 0


def test_a_deferred_field_that_was_read_is_not_written(row: SalesforceConnection) -> None:
    partial = SalesforceConnection.objects.only("uuid").get(pk=row.pk)
    assert (partial.status, partial.access_token is not None) == ("active", True)
    rotate(row)
    SalesforceConnection.objects.filter(pk=row.pk).update(status="blocked")

    partial.save()

    assert tokens(row) == ("access-2", "refresh-2", 2)
    assert load(row).status == "blocked"


def test_a_deferred_token_that_was_assigned_is_written(row: SalesforceConnection) -> None:
    partial = SalesforceConnection.objects.only("uuid", "generation").get(pk=row.pk)
    partial.access_token, partial.reason = "access-9", "by_hand"

    partial.save()

    assert tokens(row) == ("access-9", "refresh-1", 2)
    assert (load(row).reason, partial.generation) == ("by_hand", 2)


def test_a_token_is_not_stored_against_a_generation_that_was_never_loaded(row: SalesforceConnection) -> None:
    partial = SalesforceConnection.objects.defer("generation").get(pk=row.pk)
    partial.access_token = "access-9"

    with pytest.raises(TypeError, match="generation"):
        partial.save()
    assert tokens(row) == ("access-1", "refresh-1", 1)


def test_a_stale_instance_does_not_undo_a_reconnect(row: SalesforceConnection) -> None:
    stale = SalesforceConnection.objects.get(pk=row.pk)
    anew = {"login_url": "https://new.my.salesforce.com", "scopes": ["full"], "connected_at": timezone.now()}
    SalesforceConnection.objects.filter(pk=row.pk).update(**anew, is_default=True)

    stale.username = "ada@new.example"
    stale.save()

    stored = load(row)
    assert {name: getattr(stored, name) for name in anew} == anew
    assert (stored.is_default, stored.username) == (True, "ada@new.example")


def test_refreshing_some_fields_from_the_database_keeps_the_other_assignments(row: SalesforceConnection) -> None:
    row.access_token = "access-9"

    row.refresh_from_db(fields=["status"])
    row.save()

    assert tokens(row) == ("access-9", "refresh-1", 2)


def test_refreshing_from_the_database_forgets_what_was_assigned(row: SalesforceConnection) -> None:
    row.access_token, row.status = "access-9", "blocked"

    row.refresh_from_db()
    row.save()

    assert tokens(row) == ("access-1", "refresh-1", 1)
    assert load(row).status == "active"


def test_a_row_that_was_deleted_does_not_come_back(row: SalesforceConnection) -> None:
    SalesforceConnection.objects.filter(pk=row.pk).delete()

    with pytest.raises(DatabaseError), transaction.atomic():
        row.save()
    row.access_token = "access-9"
    with pytest.raises(TemporarilyUnavailable):
        row.save()

    assert not SalesforceConnection.objects.exists()


def test_a_row_made_in_bulk_is_guarded_too() -> None:
    (row,) = SalesforceConnection.objects.bulk_create(iter([make_connection(save=False)]))
    rotate(row)

    row.save()

    assert tokens(row) == ("access-2", "refresh-2", 2)


def test_a_fresh_row_is_guarded_from_its_first_save() -> None:
    row = make_connection()
    rotate(row)

    row.save()

    assert tokens(row) == ("access-2", "refresh-2", 2)


def test_a_forced_insert_writes_everything(row: SalesforceConnection) -> None:
    uuid = uuid4()
    row.pk, row.uuid, row.salesforce_user_id = None, uuid, "005000000000009AAA"
    row.access_token, row.refresh_token = "access-9", "refresh-9"

    row.save(force_insert=True)

    assert tokens(row) == ("access-9", "refresh-9", 1)
    assert load(row).uuid == uuid


def test_copies_do_not_share_what_they_remember(row: SalesforceConnection) -> None:
    twin = copy.copy(row)
    row.status = "blocked"
    row.save()

    twin.save()

    assert load(row).status == "blocked"


def test_a_pickled_instance_is_still_guarded(row: SalesforceConnection) -> None:
    revived = pickle.loads(pickle.dumps(row))  # noqa: S301  # pickled in the same line
    rotate(row)

    revived.save()

    assert tokens(row) == ("access-2", "refresh-2", 2)


def test_an_expression_may_be_assigned_to_a_plain_field(row: SalesforceConnection) -> None:
    row.failure_count = F("failure_count") + 2
    row.save()

    assert load(row).failure_count == 2


def test_naming_an_unknown_field_is_an_error(row: SalesforceConnection) -> None:
    with pytest.raises(FieldDoesNotExist):
        row.save(update_fields=["no_such_field"])  # type: ignore[misc]  # the plugin knows it, too


def test_a_refresh_token_that_is_saved_alone_is_kept_alive_too() -> None:
    row = make_connection(refresh_token=None, next_refresh_at=None)
    row.refresh_token = "5Aep-imported"

    row.save(update_fields=["refresh_token"])

    stored = SalesforceConnection.objects.get(pk=row.pk)
    assert stored.next_refresh_at is not None
    assert stored.next_refresh_at == row.next_refresh_at
