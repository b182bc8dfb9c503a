from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import MagicMock, Mock, patch
from uuid import uuid4

import pytest
from django.db import InterfaceError, OperationalError, connection, connections, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sf_oauth import signals
from django_sf_oauth.conf import get_app
from django_sf_oauth.fields import Sealed
from django_sf_oauth.grants.contract import OPEN, Claim, Grant, Status, Verdict
from django_sf_oauth.models import ConnectionEvent, PendingRevocation, SalesforceConnection
from django_sf_oauth.models import store as store_module
from django_sf_oauth.models.clock import DatabaseClock
from django_sf_oauth.models.store import RowStore
from django_sf_oauth.models.token_values import token_values
from django_sf_oauth.models.update_row import LOCK_WAIT, bound_lock_waits, update_row
from django_sf_oauth.protocol.tokens import TokenAnswer
from tests.factories import make_connection
from tests.models.locking import table_locked
from tests.races.site import SOON, wait_for

pytestmark = pytest.mark.django_db

Kind = ConnectionEvent.Kind
LEASE = 90.0
STORE = RowStore()
OWN = "https://login.salesforce.com/id/00D000000000001EAA/005000000000001AAA"
ROTATED = TokenAnswer(access_token="access-2", refresh_token="refresh-2", id=OWN)
NOT_ROTATED = TokenAnswer(access_token="access-2")


@pytest.fixture
def row() -> SalesforceConnection:
    return make_connection(access_token="access-1", refresh_token="refresh-1")


@pytest.fixture
def claim(row: SalesforceConnection) -> Claim:
    return claim_of(row)


def read(row: SalesforceConnection) -> Grant:
    grant = STORE.read(row.pk)
    assert grant is not None
    return grant


def claim_of(row: SalesforceConnection) -> Claim:
    claim = STORE.claim(read(row), lease=LEASE)
    assert claim is not None
    return claim


def reload(row: SalesforceConnection) -> SalesforceConnection:
    return SalesforceConnection.objects.get(pk=row.pk)


def reveal(value: Sealed | None) -> str:
    assert value is not None
    return value.reveal()


def database_time() -> int:
    """Milliseconds since 1970."""
    now: int = SalesforceConnection.objects.annotate(now=DatabaseClock()).values_list("now", flat=True)[0]
    return now


def end_the_lease(row: SalesforceConnection) -> None:
    SalesforceConnection.objects.filter(pk=row.pk).update(lease_until=1)


@contextmanager
def heard(signal: Any) -> Iterator[list[dict[str, Any]]]:
    """What a receiver of the signal was told."""
    told: list[dict[str, Any]] = []

    def hear(**kwargs: Any) -> None:
        told.append(kwargs)

    signal.connect(hear)
    try:
        yield told
    finally:
        signal.disconnect(hear)


# Reading


def test_a_row_is_read_as_it_is(row: SalesforceConnection) -> None:
    grant = read(row)

    assert (grant.key, grant.uuid, grant.generation, grant.status) == (row.pk, row.uuid, 1, "active")
    assert reveal(grant.refresh_token) == "refresh-1"
    assert grant.retry_in == 0.0
    assert STORE.read(row.pk + 1) is None


def test_a_back_off_is_told_in_seconds(row: SalesforceConnection) -> None:
    SalesforceConnection.objects.update(retry_at=timezone.now() + timedelta(seconds=60))
    assert 55 < read(row).retry_in <= 60

    SalesforceConnection.objects.update(retry_at=timezone.now() - timedelta(seconds=60))
    assert read(row).retry_in == 0.0


# The lease


def test_a_claim_is_given_once(row: SalesforceConnection, claim: Claim) -> None:
    assert STORE.claim(read(row), lease=LEASE) is None

    stored = reload(row)
    assert (stored.lease_owner, stored.in_doubt_since, claim.in_doubt) == (claim.owner, None, False)


def test_a_lease_is_kept_on_the_clock_of_the_database(row: SalesforceConnection, claim: Claim) -> None:
    now = database_time()

    assert 0 < (reload(row).lease_until or 0) - now <= LEASE * 1000
    assert abs(now / 1000 - time.time()) < 60


@pytest.mark.parametrize("use_tz", [True, False])
@pytest.mark.parametrize("off", [timedelta(hours=-1), timedelta(hours=1)], ids=["slow", "fast"])
def test_a_web_servers_own_clock_does_not_matter(use_tz: bool, off: timedelta) -> None:
    with override_settings(USE_TZ=use_tz):
        row = make_connection()
        claim_of(row)
        grant = read(row)

        with patch.object(timezone, "now", return_value=timezone.now() + off):
            assert STORE.claim(grant, lease=LEASE) is None


ZONES = {
    "postgresql": ("SET LOCAL TIME ZONE %s", "SET LOCAL TIME ZONE DEFAULT"),
    "mysql": ("SET SESSION time_zone = %s", "SET SESSION time_zone = DEFAULT"),
    "sqlite": ("SELECT %s", "SELECT 1"),  # it knows no zones
}


@pytest.mark.parametrize("zone", ["+05:30", "-08:00"])
def test_the_clock_does_not_depend_on_the_time_zone_of_the_session(row: SalesforceConnection, zone: str) -> None:
    there, back = ZONES[connection.vendor]
    before = database_time()

    with connection.cursor() as cursor:
        cursor.execute(there, [zone])
        after = database_time()
        cursor.execute(back)

    assert abs(after - before) < 60_000


def test_a_claim_for_a_generation_that_has_passed_is_refused(row: SalesforceConnection) -> None:
    grant = read(row)
    SalesforceConnection.objects.update(generation=2)

    assert STORE.claim(grant, lease=LEASE) is None


def test_a_claim_on_what_was_read_before_a_failure_is_refused(row: SalesforceConnection) -> None:
    """Else each of many workers would ask for a dead grant once more."""
    grant = read(row)
    STORE.fail(claim_of(row), verdict(kind="dead", reason="revoked", status=Status.RECONNECT_REQUIRED))

    assert STORE.claim(grant, lease=LEASE) is None


def test_a_lease_that_ended_without_a_word_leaves_a_doubt(row: SalesforceConnection, claim: Claim) -> None:
    end_the_lease(row)

    second = claim_of(row)

    assert second.in_doubt
    assert second.owner != claim.owner
    since = reload(row).in_doubt_since
    end_the_lease(row)
    assert claim_of(row).in_doubt
    assert reload(row).in_doubt_since == since


def test_a_claim_and_a_store_are_one_statement_each(row: SalesforceConnection) -> None:
    grant = read(row)

    with CaptureQueriesContext(connection) as queries:
        claim = STORE.claim(grant, lease=LEASE)
        assert claim is not None
        STORE.store(claim, ROTATED)

    assert [query["sql"].split()[0] for query in queries] == ["UPDATE", "UPDATE"]


def test_a_claim_on_what_was_read_before_another_crashed_is_refused(row: SalesforceConnection) -> None:
    """Else the doubt that it left would go unnoticed."""
    grant = read(row)
    claim_of(row)
    end_the_lease(row)

    assert STORE.claim(grant, lease=LEASE) is None


def test_what_is_stored_is_what_a_reading_shows(row: SalesforceConnection, claim: Claim) -> None:
    stored = STORE.store(claim, ROTATED)

    assert stored is not None
    seen = read(row)
    assert replace(stored, expires_in=0.0) == replace(seen, expires_in=0.0)
    assert reveal(stored.refresh_token) == reveal(seen.refresh_token) == "refresh-2"


def test_a_reading_goes_by_the_use_tz_of_its_moment(row: SalesforceConnection, settings: Any) -> None:
    SalesforceConnection.objects.update(expires_at=timezone.now() + timedelta(hours=1))
    aware = []

    for settings.USE_TZ in (True, False, True):
        seen = read(row).expires_at
        aware.append(seen is not None and timezone.is_aware(seen))

    assert aware == [True, False, True]


# Storing


def test_an_answer_replaces_what_was_there(row: SalesforceConnection, claim: Claim) -> None:
    SalesforceConnection.objects.update(failure_count=3, backoff_step=4, retry_at=timezone.now())

    grant = STORE.store(claim, replace(ROTATED, instance_url="https://acme-na2.my.salesforce.com"))

    stored = reload(row)
    assert grant is not None
    assert (grant.generation, stored.generation) == (2, 2)
    assert (reveal(stored.access_token), reveal(stored.refresh_token)) == ("access-2", "refresh-2")
    assert stored.instance_url == "https://acme-na2.my.salesforce.com"
    assert (stored.lease_owner, stored.lease_until, stored.in_doubt_since) == (None, None, None)
    assert (stored.failure_count, stored.backoff_step, stored.retry_at) == (0, 0, None)
    assert stored.last_refreshed_at == stored.issued_at
    assert stored.next_refresh_at is not None


def test_a_partial_answer_merges(row: SalesforceConnection, claim: Claim) -> None:
    STORE.store(claim, NOT_ROTATED)

    stored = reload(row)
    assert reveal(stored.refresh_token) == "refresh-1"
    assert stored.instance_url == row.instance_url


def test_an_instance_that_is_not_salesforces_is_not_adopted(row: SalesforceConnection, claim: Claim) -> None:
    STORE.store(claim, replace(ROTATED, instance_url="https://salesforce.com.evil.example"))

    stored = reload(row)
    assert stored.instance_url == row.instance_url
    assert reveal(stored.refresh_token) == "refresh-2"


@pytest.mark.parametrize(
    "said",
    [
        {"id": None},
        {"id": "https://login.salesforce.com/id/00D000000000002EAA/005000000000001AAA"},
        {"access_token": "00D000000000002!access"},
    ],
    ids=["of-no-org", "of-another-org", "token-of-another-org"],
)
def test_an_attackers_own_org_is_not_adopted_as_the_instance(
    row: SalesforceConnection, claim: Claim, said: dict[str, Any]
) -> None:
    hostile = replace(ROTATED, instance_url="https://attacker.my.salesforce.com", **said)

    STORE.store(claim, hostile)

    assert reload(row).instance_url == row.instance_url


def test_an_instance_longer_than_its_column_does_not_cost_the_rotated_token(
    row: SalesforceConnection, claim: Claim
) -> None:
    long = replace(ROTATED, instance_url="https://acme.my.salesforce.com/" + "x" * 300)

    assert STORE.store(claim, long) is not None
    assert (reveal(reload(row).refresh_token), reload(row).instance_url) == ("refresh-2", row.instance_url)


@pytest.mark.parametrize("issued_at", ["9" * 16, "9" * 30, None], ids=["beyond-all-dates", "absurd", "missing"])
def test_an_issued_at_that_is_no_date_does_not_cost_the_rotated_token(
    row: SalesforceConnection, claim: Claim, issued_at: str | None
) -> None:
    before = timezone.now()

    assert STORE.store(claim, replace(ROTATED, issued_at=issued_at)) is not None

    stored = reload(row)
    assert reveal(stored.refresh_token) == "refresh-2"
    assert stored.issued_at is not None
    assert stored.issued_at >= before


def test_issued_at_is_salesforces_own(row: SalesforceConnection, claim: Claim) -> None:
    STORE.store(claim, replace(ROTATED, issued_at="1278448384422"))

    stored = reload(row)
    assert stored.issued_at is not None
    assert stored.issued_at.timestamp() == 1278448384.422


def test_a_stored_answer_is_not_overwritten_by_a_late_one(row: SalesforceConnection, claim: Claim) -> None:
    end_the_lease(row)
    STORE.store(claim_of(row), ROTATED)

    assert STORE.store(claim, TokenAnswer(access_token="late", refresh_token="late")) is None
    assert reveal(reload(row).refresh_token) == "refresh-2"
    assert not PendingRevocation.objects.exists()


def asks(row: SalesforceConnection) -> None:
    claim_of(row)


def is_refused(row: SalesforceConnection) -> None:
    STORE.fail(claim_of(row), verdict(kind="dead", status=Status.RECONNECT_REQUIRED, in_doubt=True))


def is_answered(row: SalesforceConnection) -> None:
    STORE.store(claim_of(row), NOT_ROTATED)


def is_answered_and_asks_again(row: SalesforceConnection) -> None:
    is_answered(row)
    asks(row)


def is_answered_and_then_refused(row: SalesforceConnection) -> None:
    is_answered(row)
    is_refused(row)


def is_answered_and_then_fails(row: SalesforceConnection) -> None:
    is_answered(row)
    STORE.fail(claim_of(row), verdict(retry_in=5.0))


@pytest.mark.parametrize(
    ("another", "in_doubt"),
    [
        (asks, True),
        (is_refused, True),
        (is_answered, False),
        (is_answered_and_asks_again, True),
        (is_answered_and_then_refused, True),
        (is_answered_and_then_fails, True),
    ],
)
def test_a_late_answer_is_in_doubt_when_another_may_have_spent_its_token_since(
    row: SalesforceConnection, claim: Claim, another: Callable[[SalesforceConnection], None], in_doubt: bool
) -> None:
    end_the_lease(row)
    another(row)

    grant = STORE.store(claim, ROTATED)

    stored = reload(row)
    assert grant is not None
    assert (grant.in_doubt, stored.in_doubt_since is not None) == (in_doubt, in_doubt)
    assert (stored.status, stored.lease_owner, reveal(stored.refresh_token)) == ("active", None, "refresh-2")


def test_an_answer_whose_commit_was_not_confirmed_is_not_revoked(row: SalesforceConnection, claim: Claim) -> None:
    STORE.store(claim, ROTATED)

    assert STORE.store(claim, ROTATED) is None
    assert reload(row).generation == 2
    assert not PendingRevocation.objects.exists()


def test_an_access_token_assigned_meanwhile_does_not_cost_the_rotated_one(
    row: SalesforceConnection, claim: Claim
) -> None:
    row.access_token = "assigned by hand"
    row.save()

    grant = STORE.store(claim, ROTATED)

    assert grant is not None
    assert grant.generation == 3
    assert reveal(reload(row).refresh_token) == "refresh-2"


@pytest.mark.parametrize("answer", [ROTATED, NOT_ROTATED], ids=["rotated", "not-rotated"])
@pytest.mark.parametrize("gone", ["disconnected", "deleted"])
def test_an_answer_for_what_was_given_up_is_queued_for_revocation(
    row: SalesforceConnection, claim: Claim, answer: TokenAnswer, gone: str
) -> None:
    rows = SalesforceConnection.objects.filter(pk=row.pk)
    if gone == "deleted":
        rows._raw_delete(using="default")
    else:
        rows.update(status=Status.DISCONNECTED, generation=2, refresh_token=None)

    assert STORE.store(claim, answer) is None

    queued = [reveal(pending.token) for pending in PendingRevocation.objects.all()]
    assert queued == ([answer.refresh_token] if answer.refresh_token else [])


def test_an_answer_for_what_was_connected_anew_is_queued_for_revocation(
    row: SalesforceConnection, claim: Claim
) -> None:
    SalesforceConnection.objects.filter(pk=row.pk).update(generation=2, connected_at=timezone.now())
    row.refresh_from_db()
    row.refresh_token = "refresh-of-the-new-grant"
    row.save()

    assert STORE.store(claim, ROTATED) is None

    pending = PendingRevocation.objects.get()
    assert (reveal(pending.token), pending.reason) == ("refresh-2", "came_late")
    assert reveal(reload(row).refresh_token) == "refresh-of-the-new-grant"


def test_a_connection_that_recovers_says_so(row: SalesforceConnection) -> None:
    SalesforceConnection.objects.update(status=Status.BLOCKED, reason="app_blocked")

    STORE.store(claim_of(row), ROTATED)

    stored, event = reload(row), ConnectionEvent.objects.get()
    assert (stored.status, stored.reason) == (Status.ACTIVE, "")
    assert (event.kind, event.reason) == (Kind.RECOVERED, "app_blocked")


@pytest.mark.django_db(transaction=True)
def test_every_refresh_is_told(row: SalesforceConnection, claim: Claim) -> None:
    with heard(signals.refreshed) as refreshed, heard(signals.recovered) as recovered:
        STORE.store(claim, ROTATED, took=0.25)

    assert [(told["connection"].generation, told["seconds"]) for told in refreshed] == [(2, 0.25)]
    assert recovered == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("backoff_step", "first"), [(0, True), (3, False)])
def test_a_failure_tells_whether_it_is_the_first(
    row: SalesforceConnection, backoff_step: int, first: bool
) -> None:
    SalesforceConnection.objects.update(backoff_step=backoff_step)

    with heard(signals.refresh_failed) as failed:
        STORE.fail(claim_of(row), verdict(), took=1.5)

    assert [(one["kind"], one["first"], one["seconds"]) for one in failed] == [("unavailable", first, 1.5)]


# Expiry


def lifetime(row: SalesforceConnection, answer: TokenAnswer) -> timedelta:
    values = token_values(row, answer, get_app())
    left: timedelta = values["expires_at"] - values["issued_at"]
    return left


def jwt(expiry: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expiry}).encode()).decode().rstrip("=")
    return f"header.{claims}.signature"


def test_an_opaque_token_lives_as_long_as_a_session(row: SalesforceConnection) -> None:
    assert lifetime(row, ROTATED) == timedelta(hours=2)


def test_a_token_that_says_how_long_it_lives_is_believed(row: SalesforceConnection) -> None:
    assert lifetime(row, replace(ROTATED, expires_in=60)) == timedelta(seconds=60)


@pytest.mark.parametrize(("ahead", "lives"), [(600, 600), (-600, 0)])
def test_a_jwt_says_itself_when_it_ends(row: SalesforceConnection, ahead: int, lives: int) -> None:
    answer = TokenAnswer(access_token=jwt(time.time() + ahead))

    assert abs(lifetime(row, answer).total_seconds() - lives) < 5


# Failing


def verdict(**values: Any) -> Verdict:
    return Verdict(**{"kind": "unavailable", "reason": "timeout", **values})


def test_a_failure_gives_the_lease_back_and_backs_off(row: SalesforceConnection, claim: Claim) -> None:
    assert STORE.fail(claim, verdict(retry_in=30.0, counts=True))

    stored = reload(row)
    assert (stored.lease_owner, stored.lease_until, stored.in_doubt_since) == (None, None, None)
    assert (stored.backoff_step, stored.failure_count, stored.status) == (1, 1, Status.ACTIVE)
    assert stored.retry_at is not None
    assert not ConnectionEvent.objects.exists()


def test_what_passes_by_itself_never_counts(row: SalesforceConnection, claim: Claim) -> None:
    STORE.fail(claim, verdict())

    assert (reload(row).failure_count, reload(row).retry_at) == (0, None)


def test_a_lost_answer_is_remembered_until_the_next_claim(row: SalesforceConnection, claim: Claim) -> None:
    STORE.fail(claim, verdict(in_doubt=True))

    assert claim_of(row).in_doubt


def test_a_dead_grant_is_flagged_with_its_tokens_kept(row: SalesforceConnection, claim: Claim) -> None:
    STORE.fail(claim, verdict(kind="dead", reason="revoked", status=Status.RECONNECT_REQUIRED))

    stored, event = reload(row), ConnectionEvent.objects.get()
    assert (stored.status, stored.reason, stored.next_refresh_at) == (Status.RECONNECT_REQUIRED, "revoked", None)
    assert reveal(stored.refresh_token) == "refresh-1"
    assert (event.kind, event.reason, event.user) == (Kind.RECONNECT_REQUIRED, "revoked", row.user)


def test_a_blocked_connection_is_due_again_when_its_back_off_ends(row: SalesforceConnection, claim: Claim) -> None:
    SalesforceConnection.objects.update(claimed_until=timezone.now() + timedelta(days=2))
    STORE.fail(claim, verdict(kind="blocked", reason="app_blocked", status=Status.BLOCKED, retry_in=86400.0))

    stored = reload(row)
    assert stored.next_refresh_at is not None
    assert stored.next_refresh_at == stored.retry_at
    assert timedelta(hours=23) < stored.next_refresh_at - timezone.now() <= timedelta(hours=24)
    assert SalesforceConnection.objects.due(stored.next_refresh_at).get() == row


def test_the_same_flag_is_told_once(row: SalesforceConnection) -> None:
    blocked = verdict(kind="blocked", reason="app_blocked", status=Status.BLOCKED)

    for _ in range(3):
        STORE.fail(claim_of(row), blocked)

    assert ConnectionEvent.objects.count() == 1


def test_a_verdict_of_a_lease_that_passed_on_is_not_written(row: SalesforceConnection, claim: Claim) -> None:
    end_the_lease(row)
    second = claim_of(row)

    assert not STORE.fail(claim, verdict(kind="dead", reason="revoked", status=Status.RECONNECT_REQUIRED))

    stored = reload(row)
    assert (stored.status, stored.lease_owner) == (Status.ACTIVE, second.owner)


def test_a_verdict_on_a_token_that_was_replaced_is_not_written(row: SalesforceConnection, claim: Claim) -> None:
    row.refresh_token = "reconnected"
    row.save()

    assert not STORE.fail(claim, verdict(kind="dead", reason="revoked", status=Status.RECONNECT_REQUIRED))
    assert reload(row).status == Status.ACTIVE


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("values", "signal"),
    [
        (
            {"kind": "dead", "reason": "revoked", "status": Status.RECONNECT_REQUIRED},
            signals.reconnect_required,
        ),
        ({"kind": "blocked", "reason": "app_blocked", "status": Status.BLOCKED}, signals.blocked),
        ({"kind": "misconfigured", "reason": "invalid_client"}, signals.app_misconfigured),
        ({}, None),
    ],
    ids=["dead", "blocked", "misconfigured", "unavailable"],
)
def test_a_failure_is_told_to_those_who_listen(
    row: SalesforceConnection, claim: Claim, values: dict[str, Any], signal: Any
) -> None:
    with heard(signals.refresh_failed) as failed, heard(signal or signals.refreshed) as told:
        STORE.fail(claim, verdict(**values))

    reason = values.get("reason", "timeout")
    assert [one["reason"] for one in failed] == [reason]
    assert [(one["reason"], one["connection"].pk) for one in told] == ([(reason, row.pk)] if signal else [])
    assert [one.get("app") for one in told] == [
        "default" if signal is signals.app_misconfigured else None for _ in told
    ]


# Whose connection, whose transaction


def test_a_test_case_is_served_inline(row: SalesforceConnection) -> None:
    assert STORE.inline()
    with transaction.atomic():
        assert STORE.inline()


@pytest.mark.django_db(transaction=True)
def test_a_real_transaction_is_not(row: SalesforceConnection) -> None:
    assert not STORE.inline()
    with transaction.atomic():
        assert not STORE.inline()


def test_a_test_cases_connection_is_never_closed(row: SalesforceConnection) -> None:
    before = connection.connection

    STORE.let_go()

    assert connection.connection is before
    assert reload(row) == row


@pytest.mark.django_db(transaction=True)
def test_a_connection_of_its_own_is_closed(row: SalesforceConnection) -> None:
    assert connection.connection is not None

    STORE.let_go()

    assert connection.connection is None


@pytest.mark.parametrize(
    ("options", "keeps"),
    [
        pytest.param({}, True, id="none"),
        pytest.param({"pool": False}, True, id="off"),
        pytest.param({"pool": {"max_size": 4}}, False, id="a-pool"),
    ],
)
def test_a_connection_that_a_pool_has_at_hand_is_kept_in_no_pause(
    options: dict[str, object], keeps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)

    assert (STORE.keeps_for() > 0) is keeps


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_cannot_be_closed_is_let_go_all_the_same(row: SalesforceConnection) -> None:
    with patch.object(connections, "close_all", side_effect=InterfaceError("closed already")) as close_all:
        STORE.let_go()

    close_all.assert_called_once_with()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="only there is a table locked in a transaction")
@pytest.mark.parametrize("step", ["claim", "fail"])
def test_the_wait_for_a_table_that_somebody_has_locked_is_bounded(
    row: SalesforceConnection, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(store_module, "LOCK_WAIT", 1)
    monkeypatch.setattr(store_module.commits, "update", Mock(return_value=False))  # which has patience of its own
    grant = read(row)
    claim = claim_of(row) if step != "claim" else None
    steps: dict[str, Callable[[Any], object]] = {
        "claim": lambda claim: STORE.claim(grant, lease=LEASE),
        "fail": lambda claim: STORE.fail(claim, verdict()),
    }

    with table_locked(), pytest.raises(OperationalError):
        steps[step](claim)

    STORE.let_go()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="only there is a table locked in a transaction")
def test_a_token_in_hand_waits_for_the_table_as_long_as_it_takes(
    row: SalesforceConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LOCK_WAIT", 1)
    monkeypatch.setattr(store_module.commits, "update", Mock(return_value=False))
    claim = claim_of(row)

    def waits_for_a_lock() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'RowExclusiveLock'")
            return bool(cursor.fetchone()[0])

    def store() -> Grant | None:
        try:
            return STORE.store(claim, ROTATED)
        finally:
            STORE.let_go()

    with ThreadPoolExecutor(1) as thread:
        with table_locked():
            stored = thread.submit(store)
            wait_for(waits_for_a_lock)
            time.sleep(1.5)  # longer than whoever has nothing in hand
        assert stored.result(SOON)

    assert reveal(reload(row).refresh_token) == "refresh-2"


@pytest.mark.parametrize(
    ("vendor", "said"),
    [
        ("postgresql", ["SET LOCAL lock_timeout = '2s'"]),
        ("mysql", ["SET SESSION innodb_lock_wait_timeout = 2"]),
        ("sqlite", []),
    ],
)
def test_waits_for_a_lock_are_bounded(vendor: str, said: list[str]) -> None:
    database = MagicMock(vendor=vendor)

    bound_lock_waits(database, LOCK_WAIT)

    cursor = database.cursor.return_value.__enter__.return_value
    assert [call.args[0] for call in cursor.execute.call_args_list] == said


def test_the_engine_works_on_the_primary(row: SalesforceConnection) -> None:
    replicas = Mock(spec=["db_for_read"])

    with override_settings(DATABASE_ROUTERS=[replicas]):
        grant = read(row)
        assert STORE.gate(grant, forced=False) == OPEN
        claim = STORE.claim(grant, lease=LEASE)
        assert claim is not None
        assert STORE.store(claim, ROTATED)
        assert STORE.fail(claim_of(row), verdict())

    replicas.db_for_read.assert_not_called()


def test_a_claim_owner_is_nobody_else() -> None:
    assert not STORE.fail(Claim(grant=read(make_connection()), owner=uuid4(), in_doubt=False), verdict())


def test_a_row_that_is_deleted_right_after_its_store_is_told_of_to_nobody(
    row: SalesforceConnection, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Mock()

    def store_and_delete(*args: Any, **kwargs: Any) -> bool:
        stored = update_row(*args, **kwargs)
        SalesforceConnection.objects.all().delete()
        return stored

    monkeypatch.setattr(store_module, "update_row", store_and_delete)
    signals.refreshed.connect(listener)
    try:
        assert STORE.store(claim, ROTATED)
    finally:
        signals.refreshed.disconnect(listener)

    listener.assert_not_called()
