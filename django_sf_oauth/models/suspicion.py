"""Signs of trouble become an event and a signal, once while they last."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import Error, models, router, transaction
from django.utils import timezone

from django_sf_oauth.conf import get_app
from django_sf_oauth.grants.contract import Grant
from django_sf_oauth.grants.suspicion import refresh_load, suspicions
from django_sf_oauth.protocol.tokens import TokenAnswer

from . import signing
from .connection import SalesforceConnection
from .event import ConnectionEvent
from .record import record

__all__ = ["note", "oddities", "suspect", "suspect_shared_token"]

logger = logging.getLogger("django_sf_oauth.grants")

LASTS = timedelta(days=1)  # of an incident; one that goes on is told again

Kind = ConnectionEvent.Kind


def oddities(before: Grant, answer: TokenAnswer) -> tuple[str, ...]:
    """What is odd about a refresh that was stored, by what is known of it: without a query."""
    load = refresh_load(before.refresh_load, before.last_refreshed_at, timezone.now())
    return suspicions(before, answer, load=load, most=get_app(before.app).most_refreshes)


def note(before: Grant, *reasons: str) -> None:
    """Suspects the connection that was read. Its failure harms nobody."""
    try:
        for row in _rows().filter(pk=before.key):
            for reason in reasons:
                suspect(row, reason)
    except Error as error:
        logger.warning("event=suspicion_failed connection=%s error=%s", before.uuid, type(error).__name__)


def suspect(connection: SalesforceConnection, reason: str) -> None:
    """Records and tells it, unless that was done within a day."""
    with transaction.atomic(using=_alias()):
        _rows().select_for_update().filter(pk=connection.pk).first()  # of two processes at once, one tells
        told = ConnectionEvent.objects.using(_alias()).filter(
            connection_uuid=connection.uuid,
            kind=Kind.SUSPICIOUS,
            reason=reason,
            created_at__gte=timezone.now() - LASTS,
        )
        if not told.exists():
            record(connection, Kind.SUSPICIOUS, reason=reason)


def suspect_shared_token(connection: SalesforceConnection) -> None:
    """Suspects a connection whose new refresh token has been seen in another: two people hold one grant."""
    token = connection.refresh_token
    marks = signing.fingerprints(token.reveal()) if token else []
    seen = ConnectionEvent.objects.using(_alias()).filter(fingerprint__in=marks)
    if seen.exclude(connection_uuid=connection.uuid).exists():
        suspect(connection, "token_shared")


def _rows() -> models.QuerySet[SalesforceConnection]:
    return SalesforceConnection._base_manager.using(_alias())


def _alias() -> str:
    return router.db_for_write(SalesforceConnection)
