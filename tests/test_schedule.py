"""A batch of claimed connections."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError, connection
from django.db.backends.signals import connection_created
from django.utils import timezone

from django_sf_oauth.grants.contract import Outcome, Status
from django_sf_oauth.grants.engine import Engine
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.models import store as store_module
from django_sf_oauth.models.group_commit import KEEP
from django_sf_oauth.models.holds import stop
from django_sf_oauth.models.own_connections import MOST
from django_sf_oauth.models.readings import Watched, watched
from django_sf_oauth.models.update_row import RowUpdate
from django_sf_oauth.services import batches, schedule, sweep
from django_sf_oauth.tasks import beat_schedule
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection, make_user
from tests.fleet import claim_due, connect_many, connect_one
from tests.races.site import wait_for

pytestmark = pytest.mark.django_db

OVERDUE = timedelta(minutes=-1)


def due(**values: Any) -> dict[str, Any]:
    return {"next_refresh_at": timezone.now() + OVERDUE, **values}


def pks(rows: list[SalesforceConnection]) -> list[int]:
    return [row.pk for row in rows]


def test_a_batch_renews_every_connection_with_one_token_request_each(fake_salesforce: FakeSalesforce) -> None:
    rows = connect_many(fake_salesforce, 5, **due())

    counts = schedule.refresh_connections(claim_due())

    assert counts == {"renewed": 5}
    assert fake_salesforce.token_requests == 5
    assert all(row.generation == 2 for row in SalesforceConnection.objects.filter(pk__in=pks(rows)))


def test_a_batch_delivered_twice_refreshes_once(fake_salesforce: FakeSalesforce) -> None:
    connect_many(fake_salesforce, 3, **due())
    ids = claim_due()

    first, second = schedule.refresh_connections(ids), schedule.refresh_connections(ids)

    assert (first, second) == ({"renewed": 3}, {"skipped": 3})
    assert fake_salesforce.token_requests == 3


def no_trouble(fake: FakeSalesforce) -> None:
    """What fails says why itself."""


def salesforce_is_down(fake: FakeSalesforce) -> None:
    fake.fail_next(status=503, times=4)


def app_is_stopped(fake: FakeSalesforce) -> None:
    stop("app:other", reason="worst day", by="operator")


@pytest.mark.parametrize(
    ("values", "trouble", "ending"),
    [
        ({"retry_at": timedelta(days=2)}, no_trouble, "unavailable"),
        ({"app": "removed"}, no_trouble, "failed"),
        ({"app": "other"}, app_is_stopped, "unavailable"),
        ({}, salesforce_is_down, "unavailable"),
    ],
    ids=["back-off", "no such app", "stopped", "down"],
)
def test_what_fails_does_not_keep_the_others_from_their_turn(
    fake_salesforce: FakeSalesforce,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    values: dict[str, Any],
    trouble: Callable[[FakeSalesforce], None],
    ending: str,
) -> None:
    settings.SALESFORCE_OAUTH = {
        **settings.SALESFORCE_OAUTH,
        "APPS": {"other": {"CLIENT_ID": "x", "CLIENT_SECRET": None}},
    }
    start = timezone.now()
    values = {name: start + value if name == "retry_at" else value for name, value in values.items()}
    failing = connect_many(fake_salesforce, 4, **due(next_refresh_at=start - timedelta(days=1), **values))
    trouble(fake_salesforce)

    first = claim_due(limit=4)
    [healthy] = connect_many(fake_salesforce, 1, **due())
    counts = schedule.refresh_connections(first)
    monkeypatch.setattr(sweep, "database_now", lambda alias: start + sweep.CLAIMED_FOR + timedelta(minutes=1))
    second = claim_due(limit=1)

    assert (sorted(first), counts) == (sorted(pks(failing)), {ending: 4})
    assert second == [healthy.pk]


def test_what_was_renewed_is_due_when_it_should_be(fake_salesforce: FakeSalesforce) -> None:
    [renewed] = connect_many(fake_salesforce, 1, **due())
    [fails] = connect_many(fake_salesforce, 1, **due(retry_at=timezone.now() + timedelta(days=2)))

    assert schedule.refresh_connections(claim_due()) == {"renewed": 1, "unavailable": 1}

    renewed.refresh_from_db()
    fails.refresh_from_db()
    assert renewed.next_refresh_at is not None
    assert renewed.next_refresh_at > timezone.now() + timedelta(minutes=10)
    assert fails.next_refresh_at == fails.retry_at


def test_what_had_no_turn_keeps_its_place(
    fake_salesforce: FakeSalesforce, monkeypatch: pytest.MonkeyPatch
) -> None:
    [row] = connect_many(fake_salesforce, 1, **due())
    ids = claim_due()

    assert schedule.refresh_connections(ids, budget=0.0) == {"postponed": 1}
    with monkeypatch.context() as patch:
        slow = timezone.now() - schedule.CLOCKS_DIFFER - timedelta(minutes=2)
        patch.setattr(timezone, "now", lambda: slow)
        assert schedule.refresh_connections(ids) == {"skipped": 1}

    assert SalesforceConnection.objects.get(pk=row.pk).next_refresh_at == row.next_refresh_at


def test_what_somebody_else_asks_for_in_vain_keeps_its_place(fake_salesforce: FakeSalesforce) -> None:
    [row] = connect_many(fake_salesforce, 1, **due())
    ids = claim_due()
    salesforce_is_down(fake_salesforce)

    assert schedule.refresh_connections(ids, forced=True) == {"unavailable": 1}

    assert SalesforceConnection.objects.get(pk=row.pk).next_refresh_at == row.next_refresh_at


def test_a_batch_that_cannot_queue_up_what_failed_tells_how_it_ended(
    fake_salesforce: FakeSalesforce, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("password=secret")

    connect_many(fake_salesforce, 1, **due())
    salesforce_is_down(fake_salesforce)
    monkeypatch.setattr(schedule, "queue_up", fail)

    assert schedule.refresh_connections(claim_due()) == {"unavailable": 1}

    assert "event=queue_up_failed error=OperationalError" in caplog.text
    assert "secret" not in caplog.text


def test_what_failed_is_queued_up_although_that_of_another_claim_cannot_be(
    fake_salesforce: FakeSalesforce, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[list[int]] = []

    def fail_at_first(alias: str, keys: list[int], **claim: Any) -> None:
        tried.append(keys)
        if len(tried) == 1:
            raise OperationalError

    rows = connect_many(fake_salesforce, 2, **due())
    first, second = claim_due(limit=1), claim_due(limit=1)
    SalesforceConnection.objects.filter(pk__in=second).update(claimed_until=timezone.now() + timedelta(hours=1))
    salesforce_is_down(fake_salesforce)
    monkeypatch.setattr(schedule, "queue_up", fail_at_first)

    schedule.refresh_connections([*first, *second])

    assert sorted(tried) == [[row.pk] for row in rows]


@pytest.mark.django_db(transaction=True)
def test_a_batch_refreshes_on_the_threads_of_the_engine(fake_salesforce: FakeSalesforce) -> None:
    rows = connect_many(fake_salesforce, 8, **due())

    counts = schedule.refresh_connections(pks(rows))

    assert counts == {"renewed": 8}
    assert fake_salesforce.token_requests == 8


@pytest.mark.parametrize(
    "state",
    [
        pytest.param({"next_refresh_at": None}, id="no due time"),
        pytest.param({"next_refresh_at": timezone.now() + timedelta(days=1)}, id="not due yet"),
        pytest.param(due(status=Status.RECONNECT_REQUIRED), id="flagged"),
        pytest.param({"status": Status.BLOCKED, "next_refresh_at": None}, id="blocked"),
    ],
)
def test_only_what_is_still_due_is_refreshed_unless_somebody_asks_now(
    fake_salesforce: FakeSalesforce, state: dict[str, Any]
) -> None:
    connection = connect_one(fake_salesforce, **state)

    scheduled = schedule.refresh_connections([connection.pk])
    asked_for = schedule.refresh_connections([connection.pk], forced=True)

    assert (scheduled, asked_for) == ({"skipped": 1}, {"renewed": 1})


def test_a_grant_in_doubt_is_not_tried_before_its_access_token_has_run_out(
    fake_salesforce: FakeSalesforce,
) -> None:
    now = timezone.now()
    lives = {"in_doubt_since": now, "expires_at": now + timedelta(hours=1)}
    connection = connect_one(fake_salesforce, **due(**lives))

    assert schedule.refresh_connections([connection.pk]) == {"unavailable": 1}
    assert fake_salesforce.token_requests == 0

    SalesforceConnection.objects.update(expires_at=now)
    assert schedule.refresh_connections([connection.pk]) == {"renewed": 1}
    assert fake_salesforce.token_requests == 1


def test_a_blocked_connection_is_probed_and_recovers_when_the_admin_has_acted(
    fake_salesforce: FakeSalesforce,
) -> None:
    connection = connect_one(fake_salesforce, **due(status=Status.BLOCKED, reason="app_blocked"))

    counts = schedule.refresh_connections(claim_due())

    connection.refresh_from_db()
    assert counts == {"renewed": 1}
    assert (connection.status, connection.reason) == (Status.ACTIVE, "")


@pytest.mark.parametrize("forced", [False, True], ids=["scheduled", "asked for"])
def test_a_connection_of_an_inactive_user_is_never_refreshed(
    fake_salesforce: FakeSalesforce, forced: bool
) -> None:
    connection = connect_one(fake_salesforce, user=make_user(is_active=False), **due())

    counts = schedule.refresh_connections(claim_due(), forced=forced)

    connection.refresh_from_db()
    assert counts == {"skipped": 1}
    assert fake_salesforce.token_requests == 0
    assert connection.next_refresh_at
    assert connection.next_refresh_at - timezone.now() > timedelta(hours=23)


def test_one_failing_connection_stops_no_other(
    fake_salesforce: FakeSalesforce, caplog: pytest.LogCaptureFixture
) -> None:
    lost = connect_one(fake_salesforce, app="no longer in the settings", **due())
    revoked = connect_one(fake_salesforce, **due())
    fake_salesforce.revoke(fake_salesforce.world.users[revoked.username])
    fine = connect_one(fake_salesforce, **due())

    counts = schedule.refresh_connections(pks([lost, revoked, fine]))

    assert counts == {"failed": 1, "dead": 1, "renewed": 1}
    assert f"connection={lost.uuid} error=ConfigurationError" in caplog.text


def test_more_than_one_page_of_rows_is_read_as_the_batch_goes_on(
    fake_salesforce: FakeSalesforce, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "BATCH", 2)
    rows = connect_many(fake_salesforce, 5, **due())

    assert schedule.refresh_connections(pks(rows)) == {"renewed": 5}


def test_a_batch_starts_nothing_once_its_budget_is_spent(fake_salesforce: FakeSalesforce) -> None:
    rows = connect_many(fake_salesforce, 4, **due())
    seconds = count()

    counts = schedule.refresh_connections(pks(rows), budget=3.0, monotonic=lambda: float(next(seconds)))

    assert counts == {"renewed": 2, "postponed": 2}


class Time:
    """Passes while one sleeps, and never otherwise."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []
        self.oversleeps = 0.0
        """Seconds that the first pause is longer than it should be."""
        self.then: Callable[[], object] = lambda: None
        """What happens during the first pause."""

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        if not self.sleeps:
            self.now += self.oversleeps
            self.then()
        self.sleeps.append(seconds)
        self.now += seconds


def test_a_batch_that_is_spread_begins_its_exchanges_at_even_distances(fake_salesforce: FakeSalesforce) -> None:
    rows = connect_many(fake_salesforce, 3, **due())
    (later,) = connect_many(fake_salesforce, 1)  # is not due, and takes no time
    time = Time()

    counts = schedule.refresh_connections(
        pks([rows[0], later, *rows[1:]]), over=2.0, monotonic=time.monotonic, sleep=time.sleep
    )

    assert counts == {"renewed": 3, "skipped": 1}
    assert time.sleeps == [0.5, 0.5]


def test_a_batch_that_was_kept_up_does_not_make_up_for_it_all_at_once(fake_salesforce: FakeSalesforce) -> None:
    rows = connect_many(fake_salesforce, 4, **due())
    time = Time()
    time.oversleeps = 3.0

    schedule.refresh_connections(pks(rows), over=4.0, monotonic=time.monotonic, sleep=time.sleep)

    assert time.sleeps == pytest.approx([1.0, 1.0 - schedule.CATCH_UP])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("meanwhile", "ended", "requests"),
    [
        (lambda rows: [row.disconnect() for row in rows], {"renewed": 1, "gone": 1, "skipped": 1}, 1),
        (lambda rows: stop("all", reason="incident", by="ops"), {"renewed": 1, "unavailable": 2}, 1),
        (lambda rows: [row.refresh() for row in rows], {"renewed": 2, "skipped": 1}, 3),
        (lambda rows: get_user_model().objects.update(is_active=False), {"renewed": 2, "skipped": 1}, 2),
    ],
    ids=["disconnected", "stopped", "refreshed", "inactive"],
)
def test_what_happens_while_a_batch_pauses_is_heeded(
    fake_salesforce: FakeSalesforce,
    meanwhile: Callable[[list[SalesforceConnection]], object],
    ended: dict[str, int],
    requests: int,
) -> None:
    """One has ended, one was read before, and one is not read yet."""
    rows = connect_many(fake_salesforce, 3, **due())
    time = Time()

    def then() -> None:
        wait_for(SalesforceConnection.objects.filter(generation=2).exists)
        meanwhile(list(SalesforceConnection.objects.filter(generation=1)))

    time.then = then

    counts = schedule.refresh_connections(pks(rows), over=3.0, monotonic=time.monotonic, sleep=time.sleep)

    assert counts == ended
    assert fake_salesforce.token_requests == requests


@pytest.mark.django_db(transaction=True)
def test_a_batch_holds_no_connection_while_it_pauses(fake_salesforce: FakeSalesforce) -> None:
    rows = connect_many(fake_salesforce, 3, **due())
    connection.close()
    time = Time()
    held: list[bool] = []
    time.then = lambda: held.append(connection.connection is not None)

    counts = schedule.refresh_connections(pks(rows), over=3.0, monotonic=time.monotonic, sleep=time.sleep)

    assert (counts, held) == ({"renewed": 3}, [False])


@pytest.mark.django_db(transaction=True)
def test_a_batch_that_is_spread_keeps_the_connection_by_which_it_writes(fake_salesforce: FakeSalesforce) -> None:
    rows = connect_many(fake_salesforce, 12, **due())
    opened: list[object] = []

    def opens(**kwargs: Any) -> None:
        opened.append(kwargs["connection"])

    connection_created.connect(opens)
    try:
        counts = schedule.refresh_connections(pks(rows), over=len(rows) / batches.SLOWEST)
    finally:
        connection_created.disconnect(opens)

    assert counts == {"renewed": 12}
    assert len(opened) < len(rows)
    assert KEEP > 1 / batches.SLOWEST


@pytest.mark.parametrize("counts", [[1], [60], [240], [500], [499, 500, 3]])
def test_the_batches_of_a_sweep_have_begun_before_the_next_one(counts: list[int]) -> None:
    seconds = batches.spread(counts, others_wait=False)
    pace = [count / over for count, over in zip(counts, seconds, strict=True)]

    assert sum(seconds) < batches.SPREAD + 1e-9
    assert beat_schedule()["django_sf_oauth.refresh_due"]["schedule"] > batches.SPREAD
    assert pace == pytest.approx([max(sum(counts) / batches.SPREAD, batches.SLOWEST)] * len(counts))


def test_a_sweep_that_left_others_waiting_goes_on_at_once() -> None:
    assert batches.spread([500, 499], others_wait=True) == [0.0, 0.0]


@pytest.mark.django_db(transaction=True)
def test_what_failed_goes_to_the_end_even_if_the_rest_cannot_be_read(
    fake_salesforce: FakeSalesforce, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_salesforce.maintenance = True
    rows = connect_many(fake_salesforce, 3, **due())
    ids = claim_due()
    reads = count()

    def read_once(alias: str, keys: list[int]) -> Iterator[Watched]:
        if next(reads):
            raise OperationalError
        return watched(alias, keys)

    monkeypatch.setattr(schedule, "watched", read_once)
    time = Time()

    with pytest.raises(OperationalError):
        schedule.refresh_connections(ids, over=3.0, monotonic=time.monotonic, sleep=time.sleep)

    assert SalesforceConnection.objects.filter(pk__in=pks(rows), next_refresh_at__gt=timezone.now()).count() == 2


class Elsewhere:
    """A store whose rows are not the caller's alone."""

    def inline(self) -> bool:
        return False

    def let_go(self) -> None:
        return None


class Gate:
    """A refresh that lasts until it is let through."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.lock = threading.Lock()
        self.inside = self.most = 0

    def __call__(self, key: int, generation: int, *, forced: bool, ahead: bool, seen: object) -> Outcome:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.opened.wait(10)
        with self.lock:
            self.inside -= 1
        return Outcome(kind="renewed")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(schedule, "engine", Engine(Elsewhere(), gate))  # type: ignore[arg-type]  # all it uses
    yield gate
    gate.opened.set()


def test_a_batch_leaves_what_is_in_flight_to_end_by_itself(gate: Gate) -> None:
    rows = [make_connection(**due()) for _ in range(2)]

    counts = schedule.refresh_connections(pks(rows), grace=0.05)

    assert counts == {"under_way": 2}


def test_a_batch_has_no_more_exchanges_in_flight_than_there_are_threads(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "THREADS", 3)
    rows = [make_connection(**due()) for _ in range(9)]
    threading.Timer(0.2, gate.opened.set).start()

    counts = schedule.refresh_connections(pks(rows))

    assert counts == Counter(renewed=9)
    assert gate.most <= 3


def test_a_batch_whose_exchanges_hang_ends_when_its_budget_is_spent(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "THREADS", 2)
    rows = [make_connection(**due()) for _ in range(5)]

    counts = schedule.refresh_connections(pks(rows), budget=0.2, grace=0.05)

    assert counts == {"under_way": 2, "postponed": 3}


def test_a_worker_whose_clock_is_slow_skips_nothing_that_was_claimed(
    fake_salesforce: FakeSalesforce, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep claims by the database's clock."""
    rows = connect_many(fake_salesforce, 2, next_refresh_at=timezone.now())
    slow = timezone.now() - timedelta(seconds=30)
    monkeypatch.setattr(timezone, "now", lambda: slow)

    assert schedule.refresh_connections(pks(rows)) == {"renewed": 2}


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads that wrote, in order."""
    names: list[str] = []
    write = store_module.commits._write

    def noting(updates: Sequence[RowUpdate]) -> Collection[int]:
        names.append(threading.current_thread().name.rpartition("_")[0])
        return write(updates)

    monkeypatch.setattr(store_module.commits, "_write", noting)
    return names


@pytest.mark.django_db(transaction=True)
def test_a_batch_writes_through_one_thread(fake_salesforce: FakeSalesforce, writers: list[str]) -> None:
    """Else each of its threads would open a connection."""
    row = connect_one(fake_salesforce, **due())
    fake_salesforce.delay = 2 * KEEP  # so that this thread has ended by then

    schedule.refresh_connections([row.pk])

    assert writers == ["sf-oauth-commit"] * 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("places", "claims_on"),
    [(MOST, "sf-oauth-refresh"), (0, "sf-oauth-commit")],
    ids=["alone", "while all places are taken"],
)
def test_what_somebody_waits_for_is_claimed_by_the_thread_that_asks(
    fake_salesforce: FakeSalesforce,
    writers: list[str],
    places: int,
    claims_on: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is then stored has to survive a server that is gone without a word."""
    row = connect_one(fake_salesforce)
    fake_salesforce.delay = 2 * KEEP
    wait_for(lambda: not store_module.commits._runs)  # what another test has left
    monkeypatch.setattr(store_module.commits, "_ended_at", 0.0)
    monkeypatch.setattr(store_module.own_connections, "_places", threading.BoundedSemaphore(places))

    row.renew(row.generation)

    assert writers == [claims_on, "sf-oauth-commit"]
