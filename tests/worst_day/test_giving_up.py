"""The local half of a mass revocation: from its end on nothing here can use what was given up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from django_sf_oauth import signals
from django_sf_oauth.exceptions import TemporarilyUnavailable
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import (
    ConnectionEvent,
    Hold,
    Notice,
    PendingRevocation,
    SalesforceConnection,
    mass_disconnect,
    signing,
)
from django_sf_oauth.models.record import record
from django_sf_oauth.services import revoking
from django_sf_oauth.services.holding import stop, stopped_meanwhile
from django_sf_oauth.services.selection import Selection
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection, make_user
from tests.fleet import connect_many, connect_one

pytestmark = pytest.mark.django_db

Kind = ConnectionEvent.Kind
SOON = 60.0  # seconds; nothing here takes so long, but a machine may be busy
server_only = pytest.mark.skipif(
    "sqlite" in django_settings.DATABASES["default"]["ENGINE"], reason="SQLite locks the whole database"
)


def everything() -> Any:
    return SalesforceConnection.objects.all()


def test_no_token_is_left_in_a_row_and_each_waits_sealed_to_be_revoked(fake_salesforce: FakeSalesforce) -> None:
    rows = connect_many(fake_salesforce, 3)
    tokens = {row.refresh_token.reveal() for row in rows if row.refresh_token}

    counts = revoking.give_up(everything())

    assert counts == {}
    for row in everything():
        assert (row.status, row.access_token, row.refresh_token) == (Status.DISCONNECTED, None, None)
        assert (row.generation, row.is_default, row.next_refresh_at, row.lease_owner) == (2, None, None, None)
    noted = [pending.token.reveal() for pending in PendingRevocation.objects.all() if pending.token]
    assert sorted(noted) == sorted(tokens)
    assert fake_salesforce.requests == []


def test_each_is_an_event_and_a_signal_that_name_who_asked(fake_salesforce: FakeSalesforce) -> None:
    connect_many(fake_salesforce, 3)
    operator, heard = make_user(), []

    def hear(connection: SalesforceConnection, **kwargs: Any) -> None:
        heard.append((connection.status, connection.access_token))

    signals.disconnected.connect(hear)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transaction, "on_commit", lambda send, **kwargs: send())
        revoking.give_up(everything(), actor=operator)
    signals.disconnected.disconnect(hear)

    assert heard == [("disconnected", None)] * 3
    assert {(event.kind, event.actor) for event in ConnectionEvent.objects.all()} == {("disconnected", operator)}
    assert ConnectionEvent.objects.count() == 3


def test_each_event_keeps_a_fingerprint_of_the_token_that_was_given_up() -> None:
    rows = [make_connection(refresh_token=f"5Aep861given{number}") for number in range(3)]

    revoking.give_up(everything())

    kept = dict(ConnectionEvent.objects.values_list("connection", "fingerprint"))
    assert kept == {row.pk: signing.fingerprint(f"5Aep861given{number}") for number, row in enumerate(rows)}


def test_nobody_is_mailed_of_what_was_given_up() -> None:
    row = make_connection(status=Status.RECONNECT_REQUIRED)
    record(row, Kind.RECONNECT_REQUIRED, reason="revoked")
    before = Notice.objects.count()

    revoking.give_up(everything())

    assert (before, Notice.objects.count()) == (1, 0)


def test_the_default_goes_to_what_a_user_has_left() -> None:
    user = make_user()
    given_up = make_connection(user=user, is_default=True, app="other")
    make_connection(user=user, status=Status.DISCONNECTED)
    make_connection(user=user, status=Status.RECONNECT_REQUIRED)
    heir = make_connection(user=user)
    make_connection(user=user)
    alone = make_connection(is_default=True, app="other")

    revoking.give_up(SalesforceConnection.objects.filter(app="other"))

    assert list(SalesforceConnection.objects.filter(is_default=True)) == [heir]
    gone = everything().filter(status=Status.DISCONNECTED, app="other")
    assert sorted(gone.values_list("pk", flat=True)) == [given_up.pk, alone.pk]


def test_a_default_that_stays_is_not_touched() -> None:
    user = make_user()
    stays = make_connection(user=user, is_default=True)
    make_connection(user=user, app="other")

    revoking.give_up(SalesforceConnection.objects.filter(app="other"))

    stays.refresh_from_db()
    assert stays.is_default


def test_a_token_that_no_key_opens_is_forgotten_too(settings: Any) -> None:
    make_connection()
    settings.FERNET_KEYS = ["another-key-than-it-was-sealed-with"]

    counts = revoking.give_up(everything())

    assert counts == {"gone": 1}
    assert not everything().filter(refresh_token__isnull=False).exists()
    assert not PendingRevocation.objects.exists()


def test_whoever_connects_meanwhile_is_given_up_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    make_connection()
    give_up = revoking._give_up_batch
    late: list[SalesforceConnection] = []

    def meanwhile(ids: Any, actor: Any) -> Any:
        if not late:
            late.append(make_connection())
        return give_up(ids, actor)

    monkeypatch.setattr(revoking, "_give_up_batch", meanwhile)

    revoking.give_up(everything())

    assert not everything().connected().exists()


def test_what_somebody_else_gives_up_meanwhile_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    row = make_connection()

    def meanwhile(ids: Any, actor: Any) -> Any:
        row.disconnect()
        return [row.pk], 0

    monkeypatch.setattr(revoking, "_give_up_batch", meanwhile)

    assert revoking.give_up(everything()) == {"gone": 1}


# Locks


@contextmanager
def locked(row: SalesforceConnection) -> Iterator[None]:
    """Somebody holds the row in a transaction that does not end."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            SalesforceConnection.objects.select_for_update().get(pk=row.pk)
            held.set()
            done.wait(SOON)
        database.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(SOON)
    try:
        yield
    finally:
        done.set()
        thread.join(SOON)


@server_only
@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_does_not_end_keeps_no_other_connection_alive() -> None:
    stuck, sibling, other = make_connection(), make_connection(), make_connection()
    SalesforceConnection.objects.filter(pk=sibling.pk).update(user=stuck.user)

    with locked(stuck):
        left, gone = mass_disconnect.give_up_those_free([stuck.pk, sibling.pk, other.pk])

    assert (sorted(left), gone) == ([stuck.pk, sibling.pk], 0)
    assert sorted(everything().connected().values_list("pk", flat=True)) == [stuck.pk, sibling.pk]


@server_only
@pytest.mark.django_db(transaction=True)
def test_what_is_locked_for_long_is_told_and_can_be_given_up_later(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, other = make_connection(), make_connection()
    if database.vendor == "mysql":
        monkeypatch.setitem(database.settings_dict["OPTIONS"], "init_command", "SET innodb_lock_wait_timeout = 1")
        database.close()

    with locked(stuck):
        first = revoking.give_up(everything())
        alive = list(everything().connected())
    later = revoking.give_up(everything())

    assert (first, alive, later) == ({"failed": 1}, [stuck], {})
    assert not everything().connected().filter(pk=other.pk).exists()


# A transaction of the caller's


@pytest.mark.django_db(transaction=True)
def test_within_a_transaction_salesforce_is_asked_after_its_commit(fake_salesforce: FakeSalesforce) -> None:
    connect_many(fake_salesforce, 2)

    with transaction.atomic():
        counts = revoking.revoke_connections(everything())
        asked = len(fake_salesforce.requests)

    assert (counts, asked, len(fake_salesforce.requests)) == ({"pending": 2}, 0, 2)
    assert not PendingRevocation.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_is_revoked_nowhere(fake_salesforce: FakeSalesforce) -> None:
    row = connect_one(fake_salesforce)

    with transaction.atomic():
        revoking.revoke_connections(everything())
        transaction.set_rollback(True)

    row.refresh_from_db()
    assert (row.status, fake_salesforce.requests) == (Status.ACTIVE, [])


# The stop meanwhile


def test_a_token_that_a_process_holds_in_memory_is_not_used_meanwhile(
    salesforce_connection: SalesforceConnection, fake_salesforce: FakeSalesforce
) -> None:
    with stopped_meanwhile("all", by="alice"):
        revoking.give_up(everything())

        with pytest.raises(TemporarilyUnavailable) as caught:
            salesforce_connection.client().get("limits")  # it was loaded before

    assert caught.value.code == "stopped"
    assert fake_salesforce.requests == []
    assert not Hold.objects.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_was_not_brought_to_its_end_stays_stopped(error: type[BaseException]) -> None:
    with pytest.raises(error), stopped_meanwhile("all", by="alice"):
        raise error

    assert Hold.objects.get().set_by == "alice"


def test_the_stop_of_an_operator_outlives_a_revocation() -> None:
    Hold.objects.create(scope="all", reason="incident")

    with stopped_meanwhile("all", by="alice"):
        pass

    assert Hold.objects.get().reason == "incident"


def test_an_operator_who_takes_the_stop_over_keeps_it() -> None:
    with stopped_meanwhile("all", by="alice"):
        Hold.objects.update(reason="incident")

    assert Hold.objects.exists()


def test_a_run_that_ends_lifts_no_stop_of_one_that_began_later() -> None:
    with ExitStack() as earlier:
        earlier.enter_context(stopped_meanwhile("all", by="alice"))
        with stopped_meanwhile("all", by="bob"):
            earlier.close()
            assert Hold.objects.get().set_by == "bob"

    assert not Hold.objects.exists()


def stop_for(minutes: int) -> Hold:
    return Hold.objects.create(
        scope="all", reason="incident", set_by="ada", until=timezone.now() + timedelta(minutes=minutes)
    )


def test_the_stop_of_an_operator_does_not_end_before_the_revocation() -> None:
    theirs = stop_for(minutes=30)

    with stopped_meanwhile("all", by="alice"):
        meanwhile = Hold.objects.get()

    afterwards = Hold.objects.get()
    assert (meanwhile.until, meanwhile.reason, meanwhile.set_by) == (None, "incident", "ada")
    assert (afterwards.until, afterwards.created_at) == (theirs.until, theirs.created_at)


def test_the_stop_of_an_operator_does_not_end_by_itself_after_a_revocation_that_failed() -> None:
    stop_for(minutes=30)

    with pytest.raises(RuntimeError), stopped_meanwhile("all", by="alice"):
        raise RuntimeError

    assert Hold.objects.get().until is None


def test_an_operator_who_stops_it_anew_meanwhile_is_not_cut_short() -> None:
    stop_for(minutes=1)

    with stopped_meanwhile("all", by="alice"):
        stop("all", reason="worse", by="ada", until=timezone.now() + timedelta(hours=5))

    assert (Hold.objects.get().reason, Hold.objects.get().until) == ("worse", None)


@pytest.mark.parametrize(
    ("selection", "scope"),
    [
        (Selection(everything=True), "all"),
        (Selection(app="other"), "app:other"),
        (Selection(org="00D000000000001"), "org:00D000000000001EAA"),
        (Selection(everything=True, app="other"), "app:other"),
        (Selection(app="other", org="00D000000000001"), ""),
        (Selection(user="ada"), ""),
        (Selection(uuids=("00000000-0000-4000-8000-000000000000",), app="other"), ""),  # type: ignore[arg-type]
    ],
)
def test_no_more_is_stopped_than_is_revoked(selection: Selection, scope: str) -> None:
    assert selection.hold_scope == scope

    with stopped_meanwhile(selection.hold_scope, by=""):
        assert [hold.scope for hold in Hold.objects.all()] == [scope][: bool(scope)]
