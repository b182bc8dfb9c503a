"""Grants that Salesforce has still to be told to forget."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_sf_oauth.fields import SealedTextField
from django_sf_oauth.grants.backoff import full_jitter

from .sealed_queryset import SealedQuerySet

__all__ = ["PendingRevocation"]

FIRST_PAUSE = 60  # seconds
LONGEST_PAUSE = 24 * 3600  # seconds


class PendingRevocation(models.Model):
    """A refresh token to revoke: written in the transaction that forgets it, deleted once Salesforce did it.

    ``reason`` says what became of it here: ``disconnected``, ``deleted``, ``dormant`` (nobody used it),
    ``replaced`` by a new connection, or ``came_late`` from a refresh that one of these overtook.
    """

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    token = SealedTextField()
    reason = models.CharField(_("reason"), max_length=32)
    app = models.CharField(_("connected app"), max_length=64)
    login_url = models.URLField(_("login URL"), max_length=255)
    connection_uuid = models.UUIDField(_("connection"), db_index=True)
    organization_id = models.CharField(_("organization id"), max_length=18)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now, db_index=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    objects = SealedQuerySet.as_manager()

    class Meta:
        verbose_name = _("pending revocation")
        verbose_name_plural = _("pending revocations")

    def __str__(self) -> str:
        return str(self.connection_uuid)

    def postpone(self) -> None:
        """Waits before the next try: minutes at first, at most a day."""
        self.attempts += 1
        pause = full_jitter(FIRST_PAUSE, self.attempts, LONGEST_PAUSE)
        self.next_attempt_at = timezone.now() + timedelta(seconds=pause)
        # Not save(): another worker may have ended it meanwhile.
        rows = type(self)._base_manager.filter(pk=self.pk)
        rows.update(attempts=self.attempts, next_attempt_at=self.next_attempt_at)
