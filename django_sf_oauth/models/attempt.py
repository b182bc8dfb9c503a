"""An attempt to connect: the one-time state of the web server flow, as a row."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Self
from uuid import uuid4

from django.conf import settings
from django.db import models, router
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_sf_oauth.fields import SealedTextField

from .sealed_queryset import SealedQuerySet

__all__ = ["ConnectAttempt", "digest"]

LIFETIME = timedelta(minutes=15)  # a Salesforce authorization code lives as long


def digest(secret: str) -> str:
    """What the table keeps of a state or a browser's mark: a copy of the table cannot finish an attempt."""
    return hashlib.sha256(secret.encode()).hexdigest()


class ConnectAttemptQuerySet(SealedQuerySet["ConnectAttempt"]):
    def open(self) -> Self:
        return self.filter(created_at__gt=timezone.now() - LIFETIME)

    def stale(self, kept: timedelta = LIFETIME) -> Self:
        """Those that nobody can finish any more, and that began at least `kept` ago."""
        return self.filter(created_at__lte=timezone.now() - max(kept, LIFETIME))

    def consume(self, state: str) -> ConnectAttempt | None:
        """Takes the open attempt of this state; of two at once, one gets it and the other None."""
        rows = self.using(router.db_for_write(self.model))  # a replica may not have it yet
        attempt = rows.open().filter(state_digest=digest(state)).first()
        if attempt is None:
            return None
        deleted, _by_model = rows.filter(pk=attempt.pk).delete()
        return attempt if deleted else None


class ConnectAttempt(models.Model):
    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    state_digest = models.CharField(max_length=64, unique=True, editable=False)
    browser_digest = models.CharField(max_length=64, editable=False)
    verifier = SealedTextField()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    app = models.CharField(_("connected app"), max_length=64)
    login_url = models.URLField(_("login URL"), max_length=255)
    redirect_uri = models.URLField(max_length=500)
    next_url = models.TextField(blank=True)
    connection = models.ForeignKey("SalesforceConnection", on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(_("created at"), default=timezone.now, db_index=True)

    objects = ConnectAttemptQuerySet.as_manager()

    class Meta:
        verbose_name = _("connect attempt")
        verbose_name_plural = _("connect attempts")

    def __str__(self) -> str:
        return str(self.uuid)
