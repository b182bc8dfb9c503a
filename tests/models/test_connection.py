from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import resolve
from django.utils import timezone

from django_sf_oauth import aget_connection, get_connection
from django_sf_oauth.conf import get_app
from django_sf_oauth.exceptions import (
    AccessBlocked,
    ConfigurationError,
    NotConnected,
    ReconnectRequired,
    TemporarilyUnavailable,
)
from django_sf_oauth.grants.contract import Outcome
from django_sf_oauth.models import Hold, SalesforceConnection
from django_sf_oauth.models.store import store
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection, make_user

pytestmark = pytest.mark.django_db

Status = SalesforceConnection.Status
Get = Callable[..., SalesforceConnection]
get_both_ways = pytest.mark.parametrize(
    "get", [get_connection, async_to_sync(aget_connection)], ids=["sync", "async"]
)

ELSEWHERE = "00Das00000BpsEX"
ELSEWHERE_18 = "00Das00000BpsEXEAZ"


@pytest.fixture
def user() -> Any:
    return make_user()


# Which connection is meant


@get_both_ways
def test_a_user_gets_their_default_connection(user: Any, get: Get) -> None:
    make_connection(user=user)
    default = make_connection(user=user, is_default=True)
    make_connection(user=user)
    make_connection(is_default=True)

    assert get(user) == default


@get_both_ways
def test_a_user_without_a_connection_has_none(user: Any, get: Get) -> None:
    make_connection()

    with pytest.raises(NotConnected):
        get(user)


@pytest.mark.parametrize("nobody", [AnonymousUser(), None], ids=["anonymous", "none"])
def test_nobody_has_no_connection(nobody: Any) -> None:
    with CaptureQueriesContext(connection) as queries, pytest.raises(NotConnected):
        get_connection(nobody)

    assert len(queries) == 0


def test_what_the_user_gave_up_is_not_found(user: Any) -> None:
    make_connection(user=user, is_default=True, status=Status.DISCONNECTED)

    with pytest.raises(NotConnected):
        get_connection(user)


def test_a_default_that_needs_a_reconnect_is_found_so_that_it_can_say_so(user: Any) -> None:
    dead = make_connection(user=user, is_default=True, status=Status.RECONNECT_REQUIRED)

    assert get_connection(user) == dead


def test_without_a_default_one_has_to_be_named(user: Any) -> None:
    only = make_connection(user=user)

    with pytest.raises(NotConnected):
        get_connection(user)
    assert get_connection(user, app="default") == only


@get_both_ways
@pytest.mark.parametrize("org_id", [ELSEWHERE, ELSEWHERE_18], ids=["15", "18"])
def test_an_org_is_named_by_either_of_its_ids(user: Any, get: Get, org_id: str) -> None:
    make_connection(user=user, is_default=True)
    there = make_connection(user=user, organization_id=ELSEWHERE_18)

    assert get(user, org_id=org_id) == there


def test_an_org_id_is_case_sensitive(user: Any) -> None:
    make_connection(user=user, organization_id=ELSEWHERE_18)

    with pytest.raises(NotConnected):
        get_connection(user, org_id=ELSEWHERE.lower().replace("00das", "00Das"))


def test_what_is_no_org_id_is_a_mistake_of_the_caller(user: Any) -> None:
    with pytest.raises(ValueError, match="id"):
        get_connection(user, org_id="acme")


@get_both_ways
def test_an_app_is_named_by_its_alias(user: Any, get: Get) -> None:
    make_connection(user=user, is_default=True)
    other = make_connection(user=user, app="other")

    assert get(user, app="other") == other
    with pytest.raises(NotConnected):
        get(user, app="public")


@get_both_ways
def test_scopes_have_to_be_granted(user: Any, get: Get) -> None:
    make_connection(user=user, is_default=True, scopes=["openid"])
    wide = make_connection(user=user, scopes=["full", "refresh_token"])

    assert get(user, scopes=["api", "offline_access"]) == wide
    with pytest.raises(NotConnected):
        get_connection(user, org_id=ELSEWHERE, scopes=["api"])


def test_of_several_that_fit_the_default_comes_first_then_an_active_one(user: Any) -> None:
    make_connection(user=user, status=Status.BLOCKED)
    active = make_connection(user=user)
    make_connection(user=user, status=Status.RECONNECT_REQUIRED)

    assert get_connection(user, app="default") == active
    default = make_connection(user=user, is_default=True)
    make_connection(user=user)
    assert get_connection(user, app="default") == default


def test_a_connection_is_found_with_one_query(user: Any) -> None:
    make_connection(user=user, is_default=True)

    with CaptureQueriesContext(connection) as queries:
        get_connection(user)

    assert len(queries) == 1


def test_the_querysets_speak_of_states(user: Any) -> None:
    rows = {status: make_connection(user=user, status=status) for status in Status}
    make_connection()

    mine = SalesforceConnection.objects.for_user(user)

    assert set(mine) == set(rows.values())
    assert list(mine.active()) == [rows[Status.ACTIVE]]
    assert set(mine.connected()) == set(rows.values()) - {rows[Status.DISCONNECTED]}


def test_what_is_due_comes_longest_overdue_first() -> None:
    now = timezone.now()
    late = make_connection(next_refresh_at=now)
    later = make_connection(next_refresh_at=now - timedelta(hours=1))
    make_connection(next_refresh_at=now + timedelta(seconds=1))
    make_connection(next_refresh_at=None)
    make_connection(next_refresh_at=now, status=Status.RECONNECT_REQUIRED)
    probed = make_connection(next_refresh_at=now - timedelta(minutes=1), status=Status.BLOCKED)

    assert list(SalesforceConnection.objects.due(now)) == [later, probed, late]


# What the table refuses


def test_a_user_has_one_default(user: Any) -> None:
    make_connection(user=user, is_default=True)
    make_connection(is_default=True)

    with pytest.raises(IntegrityError), transaction.atomic():
        make_connection(user=user, is_default=True)


@pytest.mark.parametrize("no", [False, None])
def test_a_user_has_many_that_are_not_the_default(user: Any, no: bool | None) -> None:
    for _ in range(2):
        make_connection(user=user, is_default=no)

    assert SalesforceConnection.objects.filter(is_default=None).count() == 2


def test_there_is_one_row_per_identity(user: Any) -> None:
    one = make_connection(user=user)
    same: dict[str, Any] = {"organization_id": one.organization_id, "salesforce_user_id": one.salesforce_user_id}

    with pytest.raises(IntegrityError), transaction.atomic():
        make_connection(user=user, **same)
    make_connection(user=user, app="other", **same)
    make_connection(**same)


@pytest.mark.parametrize(
    ("words", "named"),
    [((), {"update_conflicts": True}), ((None, False, True, ["access_token"], ["id"]), {})],
    ids=["named", "positional"],
)
def test_an_upsert_is_refused_however_it_is_written(words: tuple[Any, ...], named: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="update_or_create"):
        SalesforceConnection.objects.bulk_create([make_connection(save=False)], *words, **named)


def test_a_connection_is_called_by_its_username() -> None:
    assert str(SalesforceConnection(username="ada@example.com")) == "ada@example.com"
    assert str(SalesforceConnection(organization_id="00D", salesforce_user_id="005")) == "00D/005"


def test_the_reconnect_url_leads_to_the_reconnect_page() -> None:
    row = make_connection()

    match = resolve(row.reconnect_url)

    assert (match.view_name, match.kwargs) == ("sf_oauth:reconnect", {"uuid": row.uuid})


def test_without_the_packages_urls_there_is_no_reconnect_url() -> None:
    with override_settings(ROOT_URLCONF=()):
        assert make_connection().reconnect_url == ""


# Tokens


def test_the_bearer_token_is_the_stored_one(salesforce_connection: SalesforceConnection) -> None:
    assert salesforce_connection.access_token is not None
    assert salesforce_connection.bearer() == salesforce_connection.access_token.reveal()


def test_a_connection_that_is_not_active_gives_no_token() -> None:
    with pytest.raises(ReconnectRequired):
        make_connection(status=Status.RECONNECT_REQUIRED).bearer()
    with pytest.raises(AccessBlocked):
        make_connection(status=Status.BLOCKED).valid_access_token()


def test_tokens_that_no_key_opens_ask_for_a_reconnect() -> None:
    row = make_connection()

    with override_settings(FERNET_KEYS=["another-key"]), pytest.raises(ReconnectRequired) as caught:
        row.bearer()

    row.refresh_from_db()
    assert caught.value.code == "unreadable"
    assert (row.status, row.reason) == (Status.RECONNECT_REQUIRED, "unreadable")
    assert row.refresh_token is not None


def test_an_access_token_that_does_not_open_is_renewed(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_sf_oauth_salesforceconnection SET access_token = %s", [b"damaged"])
    salesforce_connection.refresh_from_db()

    assert salesforce_connection.bearer()
    assert fake_salesforce.token_requests == 1


def test_a_token_that_is_missing_is_asked_for(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    salesforce_connection.access_token = None
    salesforce_connection.save()

    assert salesforce_connection.bearer()
    assert fake_salesforce.token_requests == 1


def bearer_of(row: SalesforceConnection, *, is_async: bool) -> str:
    return async_to_sync(row.abearer)() if is_async else row.bearer()


both_ways = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


@both_ways
def test_a_token_that_cannot_be_had_is_no_use(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection, is_async: bool
) -> None:
    later = timezone.now() + timedelta(days=3)
    SalesforceConnection.objects.update(access_token=None, last_used_at=None, next_refresh_at=later)
    salesforce_connection.refresh_from_db()
    fake_salesforce.fail_next(status=503, times=5)

    with pytest.raises(TemporarilyUnavailable):
        bearer_of(salesforce_connection, is_async=is_async)

    assert salesforce_connection.last_used_at is None  # and the row hears of it when the transaction is committed
    assert salesforce_connection.next_refresh_at == later


@both_ways
def test_a_stopped_connection_is_not_used(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection, is_async: bool
) -> None:
    SalesforceConnection.objects.update(last_used_at=None, access_token=None)
    salesforce_connection.refresh_from_db()
    Hold.objects.create(scope="all", reason="why")

    with pytest.raises(TemporarilyUnavailable, match="An operator has stopped"):
        bearer_of(salesforce_connection, is_async=is_async)

    assert salesforce_connection.last_used_at is None


@both_ways
def test_a_token_of_somebody_else_that_does_not_open_is_renewed(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection, is_async: bool
) -> None:
    salesforce_connection.refresh()
    row = SalesforceConnection.objects.get()
    damaged = salesforce_connection.access_token
    assert damaged is not None
    row.__dict__["access_token"] = None  # as it was before somebody else stored one that this process cannot open
    row.generation -= 1
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_sf_oauth_salesforceconnection SET access_token = %s",
            [bytes(damaged.at_rest())[:-8] + b"damaged="],
        )

    assert bearer_of(row, is_async=is_async)
    assert fake_salesforce.token_requests == 2


def test_a_token_that_cannot_be_had_leaves_no_empty_header(salesforce_connection: SalesforceConnection) -> None:
    SalesforceConnection.objects.update(access_token=None, refresh_token=None)
    salesforce_connection.refresh_from_db()

    with pytest.raises(NotConnected):
        salesforce_connection.bearer()


def test_a_token_that_has_not_run_out_is_used(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    salesforce_connection.expires_at = timezone.now() + timedelta(minutes=1)

    assert salesforce_connection.valid_access_token() == salesforce_connection.bearer()
    assert fake_salesforce.token_requests == 0


def test_a_token_that_has_run_out_is_refreshed_once(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    before = salesforce_connection.bearer()
    salesforce_connection.expires_at = timezone.now() - timedelta(minutes=1)

    after = [salesforce_connection.valid_access_token() for _ in range(3)]

    assert len({before, *after}) == 2
    assert fake_salesforce.token_requests == 1


def test_a_token_that_another_process_renewed_is_adopted(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    SalesforceConnection.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    mine, theirs = SalesforceConnection.objects.get(), SalesforceConnection.objects.get()
    theirs.refresh()

    tokens = {mine.valid_access_token(), mine.valid_access_token(), theirs.bearer()}

    assert len(tokens) == 1
    assert fake_salesforce.token_requests == 1


def test_a_refresh_asks_now_and_adopts_what_came(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    fake_salesforce.move_instance(host="acme-na9.my.salesforce.com")

    salesforce_connection.refresh()

    stored = SalesforceConnection.objects.get()
    assert salesforce_connection.instance_url == stored.instance_url == "https://acme-na9.my.salesforce.com"
    assert salesforce_connection.generation == stored.generation == 2
    assert salesforce_connection.access_token == stored.access_token
    assert salesforce_connection.refresh_token == stored.refresh_token
    assert salesforce_connection.expires_at == stored.expires_at


def test_what_was_adopted_is_not_written_again(salesforce_connection: SalesforceConnection) -> None:
    salesforce_connection.refresh()

    salesforce_connection.save()

    assert SalesforceConnection.objects.get().generation == 2


def test_a_refresh_skips_the_back_off(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    SalesforceConnection.objects.update(retry_at=timezone.now() + timedelta(hours=1))

    with pytest.raises(TemporarilyUnavailable, match="moment") as caught:
        salesforce_connection.renew(1)
    assert caught.value.code == "backing_off"
    salesforce_connection.refresh()

    assert fake_salesforce.token_requests == 1


@pytest.mark.parametrize(
    ("scope", "code"),
    [
        ("all", "stopped"),
        ("app:default", "stopped"),
        ("org", "stopped"),
        ("host:login.salesforce.com", "breaker_open"),
    ],
)
def test_a_refresh_respects_a_hold(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection, scope: str, code: str
) -> None:
    Hold.objects.create(
        scope=f"org:{salesforce_connection.organization_id}" if scope == "org" else scope, reason="why"
    )

    with pytest.raises(TemporarilyUnavailable) as caught:
        salesforce_connection.refresh()

    assert caught.value.code == code
    assert fake_salesforce.token_requests == 0


def test_a_refresh_makes_a_blocked_connection_active_again(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    fake_salesforce.deactivate_user()
    with pytest.raises(AccessBlocked):
        salesforce_connection.refresh()
    assert (salesforce_connection.status, salesforce_connection.reason) == (Status.BLOCKED, "inactive_user")
    fake_salesforce.reactivate_user()

    salesforce_connection.refresh()

    assert (salesforce_connection.status, salesforce_connection.reason) == (Status.ACTIVE, "")
    assert SalesforceConnection.objects.get().status == Status.ACTIVE


def test_a_dead_grant_asks_for_a_reconnect_and_keeps_the_tokens(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    fake_salesforce.revoke()

    with pytest.raises(ReconnectRequired) as caught:
        salesforce_connection.refresh()

    assert caught.value.reconnect_url == salesforce_connection.reconnect_url
    assert (salesforce_connection.status, salesforce_connection.reason) == (Status.RECONNECT_REQUIRED, "revoked")
    assert SalesforceConnection.objects.get().refresh_token is not None


def test_a_wrong_secret_flags_nobody(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    fake_salesforce.rotate_secret("brand-new", keep_old=False)

    with pytest.raises(ConfigurationError):
        salesforce_connection.refresh()

    assert SalesforceConnection.objects.get().status == Status.ACTIVE


def test_a_newer_generation_at_hand_needs_no_refresh(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    salesforce_connection.refresh()

    salesforce_connection.renew(1)

    assert fake_salesforce.token_requests == 1


def test_an_older_outcome_does_not_replace_a_newer_one(salesforce_connection: SalesforceConnection) -> None:
    old = store.read(salesforce_connection.pk)
    salesforce_connection.refresh()
    token = salesforce_connection.access_token

    salesforce_connection.adopt(Outcome(kind="renewed", grant=old))

    assert (salesforce_connection.generation, salesforce_connection.access_token) == (2, token)


def test_a_stale_instance_learns_that_it_was_disconnected(salesforce_connection: SalesforceConnection) -> None:
    stale = SalesforceConnection.objects.get()
    salesforce_connection.disconnect()

    with pytest.raises(NotConnected):
        stale.refresh()

    assert (stale.status, stale.access_token) == (Status.DISCONNECTED, None)


# Use is noted


@pytest.mark.django_db(transaction=True)
def test_use_is_noted_once_an_hour() -> None:
    row = make_connection()

    with CaptureQueriesContext(connection) as first:
        row.bearer()
    with CaptureQueriesContext(connection) as second:
        row.bearer()

    assert (len(first), len(second)) == (4, 0)  # begin, lock unless somebody has it, write, commit
    assert SalesforceConnection.objects.get().last_used_at == row.last_used_at


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no row locks")
@pytest.mark.django_db(transaction=True)
def test_the_users_call_does_not_wait_to_note_its_use() -> None:
    row = make_connection()
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT id FROM django_sf_oauth_salesforceconnection FOR UPDATE")
        token = row.bearer()
    finally:
        other.close()

    assert token
    assert SalesforceConnection.objects.get().last_used_at is None


def test_a_use_that_cannot_be_noted_is_no_failure() -> None:
    row = make_connection()

    with patch.object(transaction, "on_commit", side_effect=SynchronousOnlyOperation):
        assert row.bearer()


@pytest.mark.parametrize(("ago", "noted"), [(timedelta(minutes=29), False), (timedelta(minutes=30), True)])
@pytest.mark.django_db(transaction=True)
def test_use_is_noted_again_after_a_quarter_of_a_sessions_life(ago: timedelta, noted: bool) -> None:
    before = timezone.now() - ago
    row = make_connection(last_used_at=before)

    row.bearer()

    assert (SalesforceConnection.objects.get().last_used_at != before) is noted


@pytest.mark.django_db(transaction=True)
def test_use_is_noted_after_the_commit_so_that_no_refresh_is_locked_out() -> None:
    row = make_connection()

    with transaction.atomic():
        with CaptureQueriesContext(connection) as inside:
            row.bearer()
        assert len(inside) == 0

    assert SalesforceConnection.objects.get().last_used_at is not None


@pytest.mark.django_db(transaction=True)
def test_use_that_is_rolled_back_is_not_noted() -> None:
    row = make_connection()

    with transaction.atomic():
        row.bearer()
        transaction.set_rollback(True)

    assert SalesforceConnection.objects.get().last_used_at is None


@pytest.mark.django_db(transaction=True)
def test_a_note_that_cannot_be_written_is_no_reason_to_fail(caplog: pytest.LogCaptureFixture) -> None:
    row = make_connection()

    def down(*args: Any) -> None:
        raise DatabaseError("down")

    with connection.execute_wrapper(down):
        token = row.bearer()

    assert token
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert token not in caplog.text


# The sweep


def test_a_connection_that_is_created_with_tokens_is_kept_alive_though_nobody_uses_it() -> None:
    saved, (bulk,) = make_connection(), SalesforceConnection.objects.bulk_create([make_connection(save=False)])

    due = SalesforceConnection.objects.due(timezone.now() + get_app().heartbeat)

    assert set(due) == {saved, bulk}


def test_a_connection_that_is_given_a_new_token_is_kept_alive_again() -> None:
    row = make_connection()
    SalesforceConnection.objects.update(next_refresh_at=None, status=Status.RECONNECT_REQUIRED)
    row.refresh_from_db()

    row.refresh_token, row.status = "given", Status.ACTIVE
    row.save()

    assert SalesforceConnection.objects.due(timezone.now() + get_app().heartbeat).exists()
