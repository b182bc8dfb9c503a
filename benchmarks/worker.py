"""The Celery app of `benchmarks.throughput`: our task, and the naive one, a task for each connection."""

from __future__ import annotations

import os
import time
from typing import Any

from billiard.process import current_process
from celery import Celery
from celery.signals import worker_process_init

from .stampede import set_up
from .stampede_ways import REDIS

__all__ = ["app"]

set_up(os.environ["BENCHMARK_ORIGIN"], pool=False)

from django.db import transaction  # noqa: E402  # Django has to be set up first

from django_sf_oauth import tasks  # noqa: E402
from django_sf_oauth.models import SalesforceConnection  # noqa: E402

app = Celery("benchmark", broker=REDIS, backend=REDIS, set_as_current=True)
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_default_queue="sf_oauth_benchmark",
    worker_hijack_root_logger=False,
    imports=[tasks.__name__],
)


@worker_process_init.connect
def stay_on_one_core(**kwargs: Any) -> None:
    """As the documentation advises."""
    cores = sorted(os.sched_getaffinity(0))
    index = current_process().index  # type: ignore[attr-defined]  # billiard says which child of the pool it is
    os.sched_setaffinity(0, {cores[index % len(cores)]})


@app.task
def cpu_seconds() -> float:
    """What this child has used so far."""
    return time.process_time()


@app.task(ignore_result=True)
def refresh_one(pk: int) -> None:
    """As it is mostly written: the row is locked, Salesforce asked, the answer saved."""
    with transaction.atomic():
        row = SalesforceConnection.objects.select_for_update().get(pk=pk)
        assert row.refresh_token is not None
        answer = _ask(row.login_url, row.refresh_token.reveal())
        row.access_token, row.refresh_token = answer["access_token"], answer["refresh_token"]
        row.save()


def _ask(login_url: str, refresh_token: str) -> dict[str, Any]:
    import requests

    form = {
        "grant_type": "refresh_token",
        "client_id": "benchmark",
        "client_secret": "benchmark",
        "refresh_token": refresh_token,
    }
    response = requests.post(f"{login_url}/services/oauth2/token", data=form, timeout=60)
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer
