"""The Celery tasks: one line each round a service, ids only in their arguments.

This module can be imported by a settings module, for `beat_schedule`: nothing in it needs the app registry.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task
from celery.schedules import crontab
from celery.signals import worker_process_shutdown

__all__ = ["beat_schedule", "prune_events", "refresh_connections", "refresh_due", "revoke_pending"]

EXCHANGE_ENDS = 75.0  # seconds; a whole exchange, and its store

# Seconds after which a message that nobody took is worth nothing: the next one sees the same rows.
EXPIRES = {"refresh_due": 60, "refresh_connections": 300, "revoke_pending": 300, "prune_events": 3600}


@shared_task(name="django_sf_oauth.refresh_due", ignore_result=True, expires=EXPIRES["refresh_due"])
def refresh_due() -> None:
    """Claims the connections that are due and sends them to `refresh_connections`, batch by batch."""
    from .services import sweep

    sweep.refresh_due(refresh_connections.delay)


@shared_task(
    name="django_sf_oauth.refresh_connections", ignore_result=True, expires=EXPIRES["refresh_connections"]
)
def refresh_connections(ids: list[int]) -> None:
    """Refreshes those of a claimed batch that are still due."""
    from .services import schedule

    schedule.refresh_connections(ids)


@shared_task(name="django_sf_oauth.revoke_pending", ignore_result=True, expires=EXPIRES["revoke_pending"])
def revoke_pending() -> None:
    """Asks Salesforce to forget the grants that were given up here."""
    from .services import revoking

    revoking.revoke_pending()


@shared_task(name="django_sf_oauth.prune_events", ignore_result=True, expires=EXPIRES["prune_events"])
def prune_events() -> None:
    """Deletes audit events of more than 400 days, and attempts to connect that nobody can finish any more."""
    from .services import pruning

    pruning.prune()


@worker_process_shutdown.connect(dispatch_uid="django_sf_oauth.tasks")
def _finish_exchanges(**kwargs: Any) -> None:
    """A child of a prefork worker exits without waiting for its threads, and so would lose a rotated token."""
    from .models.store import engine

    engine.drain(EXCHANGE_ENDS)


def beat_schedule() -> dict[str, dict[str, Any]]:
    """What to merge into ``CELERY_BEAT_SCHEDULE``. Two beats at once are harmless."""
    return {
        "django_sf_oauth.refresh_due": {"task": "django_sf_oauth.refresh_due", "schedule": 60.0},
        "django_sf_oauth.revoke_pending": {"task": "django_sf_oauth.revoke_pending", "schedule": 300.0},
        "django_sf_oauth.prune_events": {
            "task": "django_sf_oauth.prune_events",
            "schedule": crontab(hour=3, minute=17),
        },
    }
