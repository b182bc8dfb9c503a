from __future__ import annotations

import threading
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_sf_oauth import get_connection, signals
from django_sf_oauth.exceptions import NotConnected
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import ConnectionEvent, PendingRevocation, SalesforceConnection
from django_sf_oauth.models.disconnect import call_off, forget_later, revoke_now
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection, make_user

pytestmark = pytest.mark.django_db

Kind = ConnectionEvent.Kind


@pytest.fixture
def row(salesforce_connection: SalesforceConnection) -> SalesforceConnection:
    return salesforce_connection


def is_alive(fake: FakeSalesforce) -> bool:
    return any(fake.world.live_approvals())


def kinds() -> list[str]:
    return [event.kind for event in ConnectionEvent.objects.order_by("pk")]


def test_a_disconnect_forgets_here_and_revokes_there(
    fake_salesforce: FakeSalesforce, row: SalesforceConnection
) -> None:
    confirmed = row.disconnect(actor=row.user)

    stored, event = SalesforceConnection.objects.get(), ConnectionEvent.objects.earliest("pk")
    assert confirmed
    assert not is_alive(fake_salesforce)
    assert (stored.status, stored.access_token, stored.refresh_token) == (Status.DISCONNECTED, None, None)
    assert (stored.generation, stored.is_default, stored.next_refresh_at) == (2, None, None)
    assert (event.kind, event.actor, event.user) == (Kind.DISCONNECTED, row.user, row.user)
    assert kinds() == [Kind.DISCONNECTED, Kind.REVOKED]
    assert not PendingRevocation.objects.exists()


def test_the_instance_at_hand_knows_it(row: SalesforceConnection) -> None:
    row.disconnect()

    with pytest.raises(NotConnected):
        row.bearer()
    assert row.refresh_token is None


def test_a_disconnect_does_not_wait_for_salesforce(
    fake_salesforce: FakeSalesforce, row: SalesforceConnection
) -> None:
    fake_salesforce.maintenance = True

    confirmed = row.disconnect()

    pending = PendingRevocation.objects.get()
    assert not confirmed
    assert SalesforceConnection.objects.get().refresh_token is None
    assert (pending.attempts, pending.connection_uuid) == (1, row.uuid)


def test_a_revocation_that_failed_is_done_later(
    fake_salesforce: FakeSalesforce, row: SalesforceConnection
) -> None:
    fake_salesforce.maintenance = True
    row.disconnect()
    fake_salesforce.maintenance = False

    assert revoke_now(PendingRevocation.objects.get())
    assert not is_alive(fake_salesforce)
    assert not PendingRevocation.objects.exists()


def test_what_is_disconnected_is_not_disconnected_again(
    fake_salesforce: FakeSalesforce, row: SalesforceConnection
) -> None:
    row.disconnect()

    confirmed = row.disconnect()

    assert not confirmed
    assert kinds() == [Kind.DISCONNECTED, Kind.REVOKED]
    assert SalesforceConnection.objects.get().generation == 2


def test_what_is_deleted_already_is_not_connected(row: SalesforceConnection) -> None:
    twin = SalesforceConnection.objects.get()
    row.delete()

    with pytest.raises(NotConnected):
        twin.disconnect()


def test_a_stale_instance_revokes_the_token_of_today(
    fake_salesforce: FakeSalesforce, row: SalesforceConnection
) -> None:
    stale = SalesforceConnection.objects.get()
    row.refresh()

    assert stale.disconnect()
    assert not is_alive(fake_salesforce)


def test_without_a_refresh_token_the_access_token_is_revoked(
    fake_salesforce: FakeSalesforce, row: SalesforceConnection
) -> None:
    row.refresh_token = None
    row.save()

    assert row.disconnect()
    assert fake_salesforce.world.live_access_tokens() == []


def test_a_token_that_no_key_opens_is_forgotten_all_the_same(
    fake_salesforce: FakeSalesforce, row: SalesforceConnection
) -> None:
    with override_settings(FERNET_KEYS=["another-key"]):
        confirmed = row.disconnect()

    assert not confirmed
    assert SalesforceConnection.objects.get().refresh_token is None
    assert not PendingRevocation.objects.exists()


def test_a_revocation_that_no_key_opens_waits(row: SalesforceConnection) -> None:
    pending = make_pending(row)

    with override_settings(FERNET_KEYS=["another-key"]):
        assert not revoke_now(PendingRevocation.objects.get())

    pending.refresh_from_db()
    assert pending.attempts == 1


def test_a_revocation_of_an_app_that_is_not_in_the_settings_waits(row: SalesforceConnection) -> None:
    pending = make_pending(row, app="removed")

    assert not revoke_now(pending)

    pending.refresh_from_db()
    assert pending.attempts == 1


def test_a_revocation_that_another_worker_has_done_is_no_trouble(
    fake_salesforce: FakeSalesforce, row: SalesforceConnection
) -> None:
    pending = make_pending(row)
    PendingRevocation.objects.all().delete()
    fake_salesforce.maintenance = True

    assert not revoke_now(pending)
    assert not PendingRevocation.objects.exists()


def test_no_token_of_a_pending_revocation_is_shown(row: SalesforceConnection) -> None:
    pending = make_pending(row)

    assert str(pending) == str(row.uuid)
    assert str(pending.token) == "••••••••"


def make_pending(row: SalesforceConnection, app: str = "default") -> PendingRevocation:
    return PendingRevocation.objects.create(
        token="5Aep861.planted",
        app=app,
        login_url=row.login_url,
        connection_uuid=row.uuid,
        organization_id=row.organization_id,
    )


# During a refresh


def test_a_disconnect_during_a_refresh_ends_disconnected_and_revokes_the_new_token(
    fake_salesforce: FakeSalesforce, row: SalesforceConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Salesforce has rotated already: the token that `disconnect` knew is dead, and the new one is not."""
    pause = fake_salesforce.endpoints._run

    def disconnect_before_the_answer_arrives(*args: Any, **kwargs: Any) -> Any:
        answer = pause(*args, **kwargs)
        monkeypatch.undo()
        SalesforceConnection.objects.get().disconnect()
        return answer

    monkeypatch.setattr(fake_salesforce.endpoints, "_run", disconnect_before_the_answer_arrives)

    with pytest.raises(NotConnected):
        row.refresh()

    stored = SalesforceConnection.objects.get()
    assert (stored.status, stored.access_token, stored.refresh_token) == (Status.DISCONNECTED, None, None)
    assert (row.status, row.access_token) == (Status.DISCONNECTED, None)
    assert revoke_now(PendingRevocation.objects.get())
    assert not is_alive(fake_salesforce)


# In a transaction of the caller's


@pytest.mark.django_db(transaction=True)
def test_salesforce_is_told_after_the_commit(fake_salesforce: FakeSalesforce, row: SalesforceConnection) -> None:
    with transaction.atomic():
        confirmed = row.disconnect()
        assert is_alive(fake_salesforce)

    assert not confirmed
    assert not is_alive(fake_salesforce)
    assert not PendingRevocation.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_disconnect_that_is_rolled_back_revokes_nothing(
    fake_salesforce: FakeSalesforce, row: SalesforceConnection
) -> None:
    with transaction.atomic():
        row.disconnect()
        transaction.set_rollback(True)

    assert SalesforceConnection.objects.get().status == Status.ACTIVE
    assert is_alive(fake_salesforce)


@pytest.mark.django_db(transaction=True)
def test_a_disconnect_outside_a_transaction_is_committed_before_salesforce_is_told(
    fake_salesforce: FakeSalesforce, row: SalesforceConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside: list[bool] = []

    def revoke(pending: PendingRevocation) -> bool:
        inside.append(connection.in_atomic_block)
        return revoke_now(pending)

    monkeypatch.setattr("django_sf_oauth.models.disconnect.revoke_now", revoke)

    assert row.disconnect()
    assert inside == [False]


# The default


def test_the_default_is_handed_on(row: SalesforceConnection) -> None:
    make_connection(user=row.user, status=Status.RECONNECT_REQUIRED)
    heir = make_connection(user=row.user)
    make_connection(user=row.user, status=Status.DISCONNECTED)
    make_connection()

    row.disconnect()

    assert get_connection(row.user) == heir


def test_of_what_is_left_even_a_dead_one_may_be_the_default(row: SalesforceConnection) -> None:
    dead = make_connection(user=row.user, status=Status.RECONNECT_REQUIRED)

    row.disconnect()

    assert get_connection(row.user) == dead


def test_who_was_not_the_default_hands_nothing_on(row: SalesforceConnection) -> None:
    make_connection(user=row.user).disconnect()

    assert get_connection(row.user) == row


def test_the_last_one_leaves_no_default(row: SalesforceConnection) -> None:
    row.disconnect()

    with pytest.raises(NotConnected):
        get_connection(row.user)


def test_a_deleted_default_is_handed_on(row: SalesforceConnection) -> None:
    heir = make_connection(user=row.user)

    row.delete()

    assert get_connection(heir.user) == heir


def test_a_default_that_was_chosen_since_is_left_alone(row: SalesforceConnection) -> None:
    stale = SalesforceConnection.objects.get()
    make_connection(user=row.user)
    SalesforceConnection.objects.update(is_default=None)
    chosen = make_connection(user=row.user, is_default=True)

    stale.delete()

    assert get_connection(chosen.user) == chosen


# Deletion


def test_a_deleted_connection_keeps_its_audit_and_is_revoked(
    fake_salesforce: FakeSalesforce, row: SalesforceConnection
) -> None:
    row.delete()

    event = ConnectionEvent.objects.get()
    assert (event.kind, event.connection, event.connection_uuid) == (Kind.DELETED, None, row.uuid)
    assert (event.user, event.username) == (row.user, row.username)
    assert revoke_now(PendingRevocation.objects.get())
    assert not is_alive(fake_salesforce)
    revoked = ConnectionEvent.objects.latest("pk")
    assert (revoked.kind, revoked.reason, revoked.connection_uuid) == (Kind.REVOKED, "deleted", row.uuid)


def test_earlier_events_outlive_the_connection(row: SalesforceConnection) -> None:
    row.disconnect()
    uuid = row.uuid

    row.delete()

    assert kinds() == [Kind.DISCONNECTED, Kind.REVOKED, Kind.DELETED]
    assert {event.connection_uuid for event in ConnectionEvent.objects.all()} == {uuid}
    assert not PendingRevocation.objects.exists()


def test_a_stale_copy_that_is_deleted_revokes_the_token_of_today(
    fake_salesforce: FakeSalesforce, row: SalesforceConnection
) -> None:
    stale = SalesforceConnection.objects.get()
    row.refresh()

    stale.delete()

    assert revoke_now(PendingRevocation.objects.get())
    assert not is_alive(fake_salesforce)


def test_what_is_deleted_already_leaves_no_second_event(row: SalesforceConnection) -> None:
    twin = SalesforceConnection.objects.get()
    row.delete()

    twin.delete()

    assert kinds() == [Kind.DELETED]


def test_a_deleted_queryset_leaves_an_event_and_a_revocation_each(row: SalesforceConnection) -> None:
    make_connection(user=row.user)

    SalesforceConnection.objects.for_user(row.user).delete()

    assert [event.user for event in ConnectionEvent.objects.all()] == [row.user] * 2
    assert PendingRevocation.objects.count() == 2


@pytest.mark.parametrize("together", [False, True], ids=["instance", "queryset"])
def test_a_deleted_user_is_forgotten_and_their_audit_is_not(row: SalesforceConnection, together: bool) -> None:
    make_connection(user=row.user)
    row.disconnect(actor=row.user)
    users = get_user_model().objects.filter(pk=row.user.pk)

    if together:
        users.delete()
    else:
        users.get().delete()

    assert kinds() == [Kind.DISCONNECTED, Kind.REVOKED, Kind.DELETED, Kind.DELETED]
    assert {(event.user, event.actor) for event in ConnectionEvent.objects.all()} == {(None, None)}
    assert PendingRevocation.objects.count() == 1


def test_a_deletion_that_is_rolled_back_leaves_nothing(row: SalesforceConnection) -> None:
    with transaction.atomic():
        row.delete()
        transaction.set_rollback(True)

    assert SalesforceConnection.objects.exists()
    assert not PendingRevocation.objects.exists()
    assert not ConnectionEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_disconnect_is_told_to_those_who_listen(row: SalesforceConnection) -> None:
    told: list[tuple[str, object]] = []

    def hear(connection: SalesforceConnection, **kwargs: Any) -> None:
        told.append((connection.status, connection.refresh_token))

    signals.disconnected.connect(hear)
    row.disconnect()
    signals.disconnected.disconnect(hear)

    assert told == [(Status.DISCONNECTED, None)]


def test_deleting_a_user_costs_a_bounded_number_of_queries() -> None:
    user = make_user()
    for _ in range(5):
        make_connection(user=user)

    with CaptureQueriesContext(connection) as queries:
        user.delete()

    assert len(queries) < 60


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite locks no single row")
def test_calling_off_waits_for_nobody_who_ends_a_revocation(row: SalesforceConnection) -> None:
    forget_later(row, reason="disconnected")
    is_held, let_go = threading.Event(), threading.Event()
    in_time: list[bool] = []

    def hold() -> None:
        with transaction.atomic():
            PendingRevocation.objects.select_for_update().get()
            is_held.set()
            in_time.append(let_go.wait(5))
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert is_held.wait(5)
    with transaction.atomic():
        call_off(row)
    let_go.set()
    holder.join()

    assert in_time == [True]
    assert PendingRevocation.objects.exists()
