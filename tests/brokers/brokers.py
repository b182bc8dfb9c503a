"""The brokers that there are, each with a place of its own for one test."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import uuid4

from celery import Celery

__all__ = ["KINDS", "Broker", "is_missing", "open_broker"]

KINDS = {
    "redis": os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/4"),
    "rabbitmq": os.environ.get("TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//"),
}

CLIENTS = {"redis": "redis", "rabbitmq": "amqp"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Broker:
    """A server, and the name of what this test has on it."""

    url: str
    name: str

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    def behind(self, port: int) -> Broker:
        """The same, reached through a proxy on loopback."""
        return replace(self, url=self.url.replace(f"{self.address[0]}:{self.address[1]}", f"127.0.0.1:{port}"))

    def options(self) -> dict[str, Any]:
        """The settings of Celery that make use of it."""
        return {
            "broker_url": self.url,
            "broker_transport_options": {"global_keyprefix": f"{self.name}:"} if self._is_redis else {},
            "broker_connection_retry_on_startup": True,
            "task_default_queue": f"{self.name}-other",
            "task_routes": {"django_sf_oauth.*": {"queue": self.name}},
            "worker_enable_remote_control": False,
            "worker_send_task_events": False,
        }

    @property
    def _is_redis(self) -> bool:
        return self.url.startswith("redis:")

    def purge(self, app: Celery) -> None:
        with app.connection_for_write() as connection, connection.channel() as channel:
            cast("Any", channel).queue_purge(self.name)

    def clear(self, app: Celery) -> None:
        """Leaves nothing on the server."""
        if self._is_redis:
            self._clear_redis()
            return
        with app.connection_for_write() as connection, connection.channel() as channel:
            cast("Any", channel).queue_delete(self.name)
            cast("Any", channel).exchange_delete(self.name)

    def _clear_redis(self) -> None:
        import redis

        with redis.Redis.from_url(self.url) as client:
            for key in client.scan_iter(f"{self.name}:*"):
                client.delete(key)


def is_missing(kind: str) -> bool:
    """Whether there is no such server here, or no client for it."""
    with socket.socket() as probe:
        probe.settimeout(2)
        answers = probe.connect_ex(Broker(url=KINDS[kind], name="").address) == 0
    return not (answers and find_spec(CLIENTS[kind]))


@contextmanager
def open_broker(kind: str) -> Iterator[tuple[Broker, Celery]]:
    """The broker, and a Celery app that sends to it."""
    broker = Broker(url=KINDS[kind], name=f"sf-oauth-{uuid4()}")
    app = Celery("tests", set_as_current=True, config_source=broker.options())
    try:
        yield broker, app
        broker.clear(app)
    finally:
        app.close()
