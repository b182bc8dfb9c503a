"""The Celery tasks: one line each round a service."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from celery.signals import before_task_publish, worker_process_shutdown
from django.core import mail
from django.db import OperationalError
from django.utils import timezone

from django_sf_oauth import tasks
from django_sf_oauth.models import ConnectionEvent, Notice, PendingRevocation, SalesforceConnection
from django_sf_oauth.models.holds import alarm_is_new
from django_sf_oauth.models.store import engine
from django_sf_oauth.services import batches, schedule, sweep
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection, make_user
from tests.fleet import connect_many

PATIENCE = 20.0  # seconds


@pytest.fixture
def broker() -> Iterator[Celery]:
    """A Celery app whose messages stay in this process."""
    app = Celery("tests", broker="memory://", set_as_current=True)
    app.conf.broker_connection_retry_on_startup = False
    app.conf.task_default_queue = str(uuid4())  # what others sent stays in memory
    yield app
    app.close()


@pytest.fixture
def published(broker: Celery) -> Iterator[list[dict[str, Any]]]:
    """The headers and arguments of each message."""
    seen: list[dict[str, Any]] = []

    def note(headers: dict[str, Any], body: Any, **kwargs: Any) -> None:
        seen.append({"task": headers["task"], "args": body[0], "expires": headers["expires"]})

    before_task_publish.connect(note)
    yield seen
    before_task_publish.disconnect(note)


def due_connections(fake: FakeSalesforce, number: int) -> list[SalesforceConnection]:
    return connect_many(fake, number, next_refresh_at=timezone.now() - timedelta(minutes=1))


@pytest.mark.django_db
def test_refresh_due_sends_ids_and_seconds_and_nothing_else(
    fake_salesforce: FakeSalesforce, published: list[dict[str, Any]]
) -> None:
    rows = due_connections(fake_salesforce, 3)

    tasks.refresh_due.apply()

    (message,) = published
    assert message["task"] == "django_sf_oauth.refresh_connections"
    ids, over = message["args"]
    assert sorted(ids) == [row.pk for row in rows]
    assert over == pytest.approx(3 / batches.SLOWEST)
    assert message["expires"] is not None


@pytest.mark.parametrize(
    ("route", "waiting", "handed_over"),
    [
        pytest.param({}, 0, 10, id="nothing waits"),
        pytest.param({"queue": "of-its-own"}, 0, 10, id="nothing waits in a queue of its own"),
        pytest.param({"queue": "with-some"}, 7, 3, id="some wait"),
        pytest.param({"queue": "with-enough"}, 10, 0, id="enough wait"),
        pytest.param({"queue": "with-more"}, 99, 0, id="more than enough wait"),
        # A queue that a sweep has come through moves.
        pytest.param({}, 99, 1, id="more than enough wait in a queue that all tasks share"),
        pytest.param({"exchange": "unknown"}, 99, 10, id="sent where no queue is known"),
    ],
)
@pytest.mark.django_db
def test_a_sweep_stops_at_what_the_workers_can_take(
    fake_salesforce: FakeSalesforce,
    broker: Celery,
    monkeypatch: pytest.MonkeyPatch,
    route: dict[str, str],
    waiting: int,
    handed_over: int,
) -> None:
    monkeypatch.setattr(batches, "BATCH", 1)
    monkeypatch.setattr(batches, "SWEEP", 10)
    broker.conf.task_routes = {"django_sf_oauth.refresh_connections": route}
    due_connections(fake_salesforce, 12)
    for _ in range(waiting):
        tasks.refresh_connections.delay([])

    tasks.refresh_due.apply()

    assert SalesforceConnection.objects.due(timezone.now()).count() == 12 - handed_over


@pytest.mark.django_db
def test_a_broker_that_is_away_does_not_keep_a_sweep_from_trying(
    fake_salesforce: FakeSalesforce, broker: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed_over: list[list[int]] = []
    monkeypatch.setattr(tasks.refresh_connections, "delay", lambda ids, over: handed_over.append(ids))
    broker.conf.update(broker_write_url="pyamqp://127.0.0.1:1")
    due_connections(fake_salesforce, 1)

    tasks.refresh_due.apply()

    assert len(handed_over) == 1


@pytest.mark.django_db
def test_what_the_broker_does_not_take_may_be_claimed_again(
    fake_salesforce: FakeSalesforce, broker: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[list[int]] = []

    def take(ids: list[int], over: float) -> None:
        if taken:
            raise ConnectionError
        taken.append(ids)

    monkeypatch.setattr(sweep, "refresh_due", partial(sweep.refresh_due, batch=1))
    monkeypatch.setattr(tasks.refresh_connections, "delay", take)
    due_connections(fake_salesforce, 3)

    ended = tasks.refresh_due.apply()

    assert ended.failed()
    assert SalesforceConnection.objects.filter(claimed_until=None).count() == 2
    assert SalesforceConnection.objects.exclude(claimed_until=None).get().pk == taken[0][0]


@pytest.mark.django_db
def test_refresh_connections_refreshes_what_is_due(fake_salesforce: FakeSalesforce) -> None:
    ids = [row.pk for row in due_connections(fake_salesforce, 2)]

    tasks.refresh_connections.apply(args=(ids,))

    assert set(SalesforceConnection.objects.values_list("generation", flat=True)) == {2}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("due", "waiting", "over"),
    [(3, 0, 3 / batches.SLOWEST), (16, 0, 0.0), (3, 1, 0.0)],
    ids=["all", "others are due", "others are handed over"],
)
def test_what_a_sweep_found_is_begun_evenly_unless_others_wait(
    fake_salesforce: FakeSalesforce,
    broker: Celery,
    monkeypatch: pytest.MonkeyPatch,
    due: int,
    waiting: int,
    over: float,
) -> None:
    broker.conf.task_routes = {"django_sf_oauth.refresh_connections": {"queue": f"{waiting}-beside-{due}"}}
    for _ in range(waiting):
        tasks.refresh_connections.delay([])
    asked: list[Any] = []
    monkeypatch.setattr(batches, "BATCH", 4)
    monkeypatch.setattr(batches, "SWEEP", 16)
    monkeypatch.setattr(tasks.refresh_connections, "delay", lambda *given: asked.append(given))
    monkeypatch.setattr(schedule, "refresh_connections", lambda ids, over: asked.append((ids, over)))
    ids = [row.pk for row in due_connections(fake_salesforce, due)]

    tasks.refresh_due.apply()
    tasks.refresh_connections.apply(args=asked[0])

    assert asked == [(ids, pytest.approx(over))] * 2


def test_what_a_sweep_claimed_before_it_broke_is_handed_over(
    broker: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def break_down(hand_over: Callable[[list[int]], object], *, limit: int) -> None:
        hand_over([1, 2])
        raise OperationalError

    monkeypatch.setattr(sweep, "refresh_due", break_down)
    monkeypatch.setattr(tasks.refresh_connections, "delay", lambda ids, over: asked.append(ids))

    ended = tasks.refresh_due.apply()

    assert ended.failed()
    assert asked == [[1, 2]]


@pytest.mark.django_db
def test_revoke_pending_asks_salesforce(fake_salesforce: FakeSalesforce) -> None:
    (connection,) = due_connections(fake_salesforce, 1)
    fake_salesforce.maintenance = True
    connection.disconnect()
    fake_salesforce.maintenance = False
    PendingRevocation.objects.update(next_attempt_at=timezone.now())

    tasks.revoke_pending.apply()

    assert not PendingRevocation.objects.exists()


@pytest.mark.django_db
def test_prune_events_deletes_old_events() -> None:
    long_ago = timezone.now() - timedelta(days=401)
    ConnectionEvent.objects.create(kind="connected", app="default", created_at=long_ago)

    tasks.prune_events.apply()

    assert not ConnectionEvent.objects.exists()


@pytest.mark.django_db
def test_send_notices_tells_users_and_operators(settings: Any) -> None:
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "ALERTS": "ops@example.com"}
    row = make_connection(user=make_user(email="ada@example.com"), status="reconnect_required", reason="revoked")
    Notice.objects.create(connection=row, due_at=timezone.now())
    alarm_is_new("default", "invalid_client")

    tasks.send_notices.apply()

    assert [message.to for message in mail.outbox] == [["ops@example.com"], ["ada@example.com"]]


@pytest.mark.django_db
def test_send_digest_tells_operators(settings: Any) -> None:
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "DIGEST": "ops@example.com"}
    make_connection(status="blocked", reason="app_blocked")

    tasks.send_digest.apply()

    assert [message.to for message in mail.outbox] == [["ops@example.com"]]


@pytest.mark.django_db(transaction=True)
def test_a_worker_refreshes_all_that_is_due_however_often_it_is_told(
    fake_salesforce: FakeSalesforce, broker: Celery
) -> None:
    due_connections(fake_salesforce, 5)

    # The level is that of the root logger from now on: tests to come look for warnings.
    with start_worker(broker, pool="solo", perform_ping_check=False, loglevel="WARNING"):
        for _ in range(3):
            tasks.refresh_due.delay()
        wait_until_all_are_renewed()

    assert fake_salesforce.token_requests == 5


def wait_until_all_are_renewed() -> None:
    deadline = time.monotonic() + PATIENCE
    while SalesforceConnection.objects.filter(generation=1).exists() and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.mark.parametrize("entry", tasks.beat_schedule().values(), ids=tasks.beat_schedule().keys())
def test_every_entry_of_the_schedule_names_a_task(broker: Celery, entry: dict[str, Any]) -> None:
    task = broker.tasks[entry["task"]]

    assert task.ignore_result
    assert not task.acks_late
    assert task.expires == entry["options"]["expires"] == tasks.EXPIRES[task.name.rpartition(".")[2]]


def test_a_batch_has_time_to_end_whatever_limit_a_project_sets(broker: Celery) -> None:
    broker.conf.task_time_limit = broker.conf.task_soft_time_limit = 30
    broker.conf.task_acks_late = True
    longest = schedule.BUDGET + schedule.GRACE

    task = broker.tasks["django_sf_oauth.refresh_connections"]

    assert (task.time_limit, task.soft_time_limit) == (tasks.HARD_LIMIT, tasks.SOFT_LIMIT)
    assert longest < tasks.SOFT_LIMIT < tasks.HARD_LIMIT
    assert not task.acks_late


SETTINGS_MODULE = """
from django_sf_oauth.tasks import beat_schedule
print(len(beat_schedule()))

from celery import _state
from django.apps import apps
from django.conf import settings
print(settings.configured, apps.ready, _state._tls.current_app)
"""


def test_a_settings_module_can_ask_for_the_schedule() -> None:
    said = subprocess.run(  # noqa: S603  # our own text
        [sys.executable, "-c", SETTINGS_MODULE], capture_output=True, text=True, check=True, timeout=30
    )

    assert said.stdout.split() == ["5", "False", "False", "None"]


def test_a_child_that_ends_waits_for_a_whole_exchange_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(engine, "drain", waited.append)

    worker_process_shutdown.send(sender=None)

    assert waited == [tasks.EXCHANGE_ENDS]


CHILD = """
import os, threading, time
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
django.setup()
from billiard.pool import Pool
from celery.signals import worker_process_shutdown
from django_sf_oauth import tasks
from django_sf_oauth.grants.contract import Outcome
from django_sf_oauth.models.store import engine
from django_sf_oauth.services import schedule, sweep

def exchange(*args, **kwargs):
    time.sleep(2)  # longer than a child waits that nobody asks to
    print("stored", flush=True)
    return Outcome(kind="renewed")

def begin():
    engine._refresh = exchange
    engine.submit(1, 1)
    return "begun"

def on_exit(pid, code):
    worker_process_shutdown.send(sender=None, pid=pid, exitcode=code)  # as Celery's prefork pool does

if __name__ == "__main__":
    pool = Pool(1, maxtasksperchild=1, on_process_exit=on_exit)
    print(pool.apply(begin), flush=True)
    pool.close()
    pool.join()
"""


def test_a_child_of_a_prefork_worker_that_ends_stores_what_it_has_asked_for() -> None:
    command = [sys.executable, "-W", "ignore", "-c", CHILD]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603  # ours

    assert ran.stdout.split() == ["begun", "stored"]
