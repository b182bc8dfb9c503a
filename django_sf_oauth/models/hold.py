"""What is held back, and until when."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

__all__ = ["Hold"]


SCOPE = r"^(all|app:[\w.-]+|org:00D\w{15}|host:[\w.:-]+)$"


class HoldQuerySet(models.QuerySet["Hold"]):
    def in_force(self, now: datetime) -> Self:
        return self.filter(models.Q(until=None) | models.Q(until__gt=now))

    def on(self, *, app: str, organization_id: str, host: str) -> Self:
        """The holds that concern one connection."""
        return self.filter(scope__in=["all", f"app:{app}", f"org:{organization_id}", f"host:{host}"])


class Hold(models.Model):
    """No token request is made within `scope` until the hold ends.

    ``scope`` is ``all``, ``app:<alias>``, ``org:<18 characters>`` or ``host:<token host>``.
    """

    scope = models.CharField(
        _("scope"),
        max_length=255,
        unique=True,
        validators=[RegexValidator(SCOPE)],
        help_text=_("all, app:alias, org:18-character id, or host:login.salesforce.com"),
    )
    reason = models.CharField(_("reason"), max_length=64)
    until = models.DateTimeField(_("until"), null=True, blank=True, help_text=_("Empty: until it is lifted."))
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    objects = HoldQuerySet.as_manager()

    class Meta:
        verbose_name = _("hold")
        verbose_name_plural = _("holds")

    def __str__(self) -> str:
        return self.scope
