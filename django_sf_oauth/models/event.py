"""The audit trail: what happened to a connection, and who did it."""

from __future__ import annotations

from typing import Any, Self

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

__all__ = ["ConnectionEvent"]


class ConnectionEventQuerySet(models.QuerySet["ConnectionEvent"]):
    def update(self, **kwargs: Any) -> int:
        raise TypeError("The audit trail is append-only.")

    def older_than(self, moment: Any) -> Self:
        return self.filter(created_at__lt=moment)


class ConnectionEvent(models.Model):
    """One entry, written once. It outlives the connection and the user it speaks of."""

    class Kind(models.TextChoices):
        CONNECTED = "connected", _("connected")
        RECONNECTED = "reconnected", _("reconnected")
        CONNECT_FAILED = "connect_failed", _("connecting failed")
        RECONNECT_REQUIRED = "reconnect_required", _("reconnect required")
        BLOCKED = "blocked", _("blocked")
        VERDICT_WITHDRAWN = "verdict_withdrawn", _("verdict withdrawn")
        RECOVERED = "recovered", _("recovered")
        DISCONNECTED = "disconnected", _("disconnected")
        REVOKED = "revoked", _("revoked at Salesforce")
        DELETED = "deleted", _("deleted")
        IDENTITY_MISMATCH = "identity_mismatch", _("signed in as somebody else")

    kind = models.CharField(_("what happened"), max_length=32, choices=Kind.choices)
    reason = models.CharField(_("reason"), max_length=64, blank=True)
    created_at = models.DateTimeField(_("when"), default=timezone.now, db_index=True)
    connection = models.ForeignKey(
        "SalesforceConnection", on_delete=models.SET_NULL, null=True, related_name="events"
    )
    connection_uuid = models.UUIDField(_("connection"), null=True, db_index=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    app = models.CharField(_("connected app"), max_length=64)
    organization_id = models.CharField(_("organization id"), max_length=18, blank=True)
    salesforce_user_id = models.CharField(_("Salesforce user id"), max_length=18, blank=True)
    username = models.CharField(_("Salesforce username"), max_length=255, blank=True)

    objects = ConnectionEventQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("connection event")
        verbose_name_plural = _("connection events")

    def __str__(self) -> str:
        return f"{self.kind} {self.reason}".rstrip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("The audit trail is append-only.")
        super().save(*args, **kwargs)
