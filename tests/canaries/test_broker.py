"""What Celery writes into Redis: messages, results, and the texts of exceptions."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from django.utils import timezone

from django_sf_oauth import tasks
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.services import schedule
from tests.ci import IN_CI

from .conftest import Site
from .nets import Net
from .plants import planted

redis = pytest.importorskip("redis", reason="needs celery[redis]")

URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/8")
PATIENCE = 30.0  # seconds


def listens() -> bool:
    parts = urlsplit(URL)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname or "", parts.port or 6379)) == 0


pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:Call to deprecated setex"),  # kombu's, of redis-py
    pytest.mark.skipif(not listens() and not IN_CI, reason="needs Redis"),
]


@pytest.fixture
def server() -> Iterator[Any]:
    """A database of Redis that is empty before and after."""
    with redis.Redis.from_url(URL) as server:
        server.flushdb()
        yield server
        server.flushdb()


@pytest.fixture
def celery(server: Any) -> Iterator[Celery]:
    """Keeps whatever a site could have told it to keep."""
    app = Celery("canaries", broker=URL, backend=URL, set_as_current=True)
    app.conf.update(
        result_extended=True,
        task_store_errors_even_if_ignored=True,
        task_ignore_result=False,
        task_track_started=True,
        broker_connection_retry_on_startup=False,
        worker_hijack_root_logger=False,
    )
    yield app
    app.close()


def dump(server: Any, net: Net) -> int:
    """Throws all that Redis holds into the net; returns how many keys there were."""
    keys = server.keys("*")
    for key in keys:
        read = {b"list": lambda key: server.lrange(key, 0, -1), b"hash": server.hgetall, b"set": server.smembers}
        value = read.get(server.type(key), server.get if server.type(key) == b"string" else server.dump)(key)
        net.throw("broker", f"{key!r} {value!r}")
    return len(keys)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def due(site: Site) -> SalesforceConnection:
    connection = site.connected()
    SalesforceConnection.objects.update(next_refresh_at=timezone.now() - timedelta(minutes=1), claimed_until=None)
    return connection


def test_messages_that_wait_hold_no_secret(site: Site, check: Any, celery: Celery, server: Any) -> None:
    due(site)

    tasks.refresh_due.delay()
    tasks.refresh_due.apply()
    for task in (tasks.revoke_pending, tasks.prune_events, tasks.send_notices, tasks.send_digest):
        task.delay()

    assert server.llen("celery") == 6
    assert dump(server, site.net)
    assert check() == []


@pytest.mark.parametrize("fault", ["none", "refused", "bug"])
def test_what_a_worker_leaves_behind_holds_no_secret(
    site: Site, check: Any, celery: Celery, server: Any, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    connection = due(site)
    if fault == "refused":
        site.fake.revoke()
    if fault == "bug":
        monkeypatch.setattr(schedule, "refresh_connections", lambda ids, over: ids.nothing)

    with start_worker(celery, pool="solo", perform_ping_check=False, loglevel="DEBUG"):
        result = tasks.refresh_connections.apply_async(args=([connection.pk],), ignore_result=False)
        wait_for(result.ready)

    assert result.failed() is (fault == "bug")
    assert dump(server, site.net)
    assert check() == []


def test_a_secret_in_a_message_or_a_result_would_be_found(net: Net, celery: Celery, server: Any) -> None:
    celery.send_task("any", args=[planted("refresh")])
    assert dump(server, net)
    assert any("broker" in hit for hit in net.hits())

    server.flushdb()
    net.caught["broker"].clear()
    celery.backend.store_result("id", RuntimeError(planted("access")), "FAILURE")
    assert dump(server, net)
    assert any("broker" in hit for hit in net.hits())
