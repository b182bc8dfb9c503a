"""The Celery tasks: a few lines each round a service, with ids in their arguments and never a token.

This module can be imported by a settings module, for `beat_schedule`: nothing in it needs the app registry.

All of them are acknowledged early, whatever ``CELERY_TASK_ACKS_LATE`` says. What a worker that dies leaves undone
is due again in five minutes in any case. A late acknowledgement would bring it back sooner on RabbitMQ only (on
Redis after the visibility timeout, an hour), and at a price: a connection to the broker that breaks would run each
batch again beside itself, or, with ``worker_cancel_long_running_tasks_on_connection_loss``, kill it amid its
exchanges.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import shared_task
from celery.schedules import crontab
from celery.signals import worker_process_shutdown

from .backlog import room
from .conf import LONGEST_EXCHANGE

__all__ = [
    "beat_schedule",
    "prune_events",
    "refresh_connections",
    "refresh_due",
    "revoke_pending",
    "send_digest",
    "send_notices",
]

EXCHANGE_ENDS = LONGEST_EXCHANGE + 15.0  # seconds; with its store

# Seconds after which a message that nobody took is worth nothing: the next one sees the same rows.
EXPIRES = {
    "refresh_due": 60,
    "refresh_connections": 300,
    "revoke_pending": 300,
    "prune_events": 3600,
    "send_notices": 60,
    "send_digest": 3600,
}

# Seconds, above what a batch takes: its budget, then a whole exchange and its store (see `schedule`). Said here so
# that a shorter CELERY_TASK_TIME_LIMIT does not hold for it: a kill amid exchanges loses tokens just rotated.
SOFT_LIMIT, HARD_LIMIT = 540, 600
MAIL_LIMIT = 120  # seconds: a mail server that never answers must not take one worker after the other


def _task(**limits: float) -> Callable[[Callable[..., None]], Any]:
    """A task of this module, by the name of its function; `limits` in seconds."""

    def made(run: Callable[..., None]) -> Any:
        name = run.__name__
        options: dict[str, Any] = {"ignore_result": True, "acks_late": False, "expires": EXPIRES[name], **limits}
        share: Any = shared_task(name=f"django_sf_oauth.{name}", **options)
        return share(run)

    return made


@_task()
def refresh_due() -> None:
    """Claims the connections that are due and sends them to `refresh_connections`, batch by batch."""
    from .services import batches, sweep

    most = batches.SWEEP // batches.BATCH
    free = room(refresh_connections, sender=refresh_due, most=most)
    limit = free * batches.BATCH
    claimed: list[list[int]] = []
    try:
        sweep.refresh_due(claimed.append, limit=limit)
    finally:
        counts = [len(ids) for ids in claimed]
        seconds = batches.spread(counts, others_wait=free < most or sum(counts) >= limit)
        _hand_over(claimed, seconds)


def _hand_over(claimed: list[list[int]], seconds: list[float]) -> None:
    """Sends the batches; those that the broker does not take may be claimed again."""
    from .services import sweep

    sent = 0
    try:
        for ids, over in zip(claimed, seconds, strict=True):
            refresh_connections.delay(ids, over)
            sent += 1
    finally:
        for ids in claimed[sent:]:
            sweep.release(ids)


@_task(soft_time_limit=SOFT_LIMIT, time_limit=HARD_LIMIT)
def refresh_connections(ids: list[int], over: float = 0.0) -> None:
    """Refreshes those of a claimed batch that are still due, begun evenly over so many seconds."""
    from .services import schedule

    schedule.refresh_connections(ids, over=over)


@_task()
def revoke_pending() -> None:
    """Asks Salesforce to forget the grants that were given up here."""
    from .services import revoking

    revoking.revoke_pending()


@_task()
def prune_events() -> None:
    """Deletes audit events of more than 400 days, and attempts to connect that nobody can finish any more.

    It also gives up what nobody has used for ``DORMANT_AFTER``, if that is set.
    """
    from .services import dormancy, pruning

    pruning.prune()
    dormancy.expire_dormant()


@_task(time_limit=MAIL_LIMIT)
def send_notices() -> None:
    """Mails users whose connection needs them, and operators whose app Salesforce refuses."""
    from .services import alerts, notices

    alerts.send_alerts()
    notices.send_notices()


@_task(time_limit=MAIL_LIMIT)
def send_digest() -> None:
    """Mails operators what waits for somebody, if `DIGEST` names any."""
    from .services import digest

    digest.send_digests()


@worker_process_shutdown.connect(dispatch_uid="django_sf_oauth.tasks")
def _finish_exchanges(**kwargs: Any) -> None:
    """A child of a prefork worker exits without waiting for its threads, and so would lose a rotated token."""
    from .models.store import engine

    engine.drain(EXCHANGE_ENDS)


SCHEDULE: dict[str, Any] = {
    "refresh_due": 15.0,  # one that finds nothing is a query, and one that finds much leaves the rest to the next
    "revoke_pending": 300.0,
    "prune_events": crontab(hour=3, minute=17),
    "send_notices": 60.0,
    "send_digest": crontab(hour=7, minute=17),
}


def beat_schedule() -> dict[str, dict[str, Any]]:
    """What to merge into ``CELERY_BEAT_SCHEDULE``. Two beats at once are harmless."""
    return {
        f"django_sf_oauth.{name}": {
            "task": f"django_sf_oauth.{name}",
            "schedule": schedule,
            "options": {"expires": EXPIRES[name]},  # a beat that has not loaded the tasks does not know theirs
        }
        for name, schedule in SCHEDULE.items()
    }
