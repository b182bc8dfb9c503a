"""What is held back, and until when."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

__all__ = ["Hold"]


SCOPE = r"^(all|(app|fleet|alarm|digest):[\w.-]+|org:00D\w{15}|host:[\w.:-]+)$"


class HoldQuerySet(models.QuerySet["Hold"]):
    def in_force(self, now: datetime) -> Self:
        return self.filter(Q(until=None) | Q(until__gt=now))

    def of_kill_switch(self) -> Self:
        """Those that an operator set: nothing in their scope uses Salesforce."""
        kinds = Q(scope="all") | Q(scope__startswith="app:") | Q(scope__startswith="org:")
        return self.filter(kinds)

    def take_probe(self, hold: Hold, now: datetime, pause: timedelta) -> bool:
        """Whether the caller is the one, of all processes, that tests a hold that may be tested."""
        return bool(self.filter(pk=hold.pk, probe_at=hold.probe_at).update(probe_at=now + pause))


class Hold(models.Model):
    """Keeps something from happening within `scope` until it ends.

    ``all``, ``app:<alias>`` and ``org:<18 characters>`` are the kill switch: no connection is used or refreshed.
    ``host:<token host>`` is the breaker: no token request there. ``fleet:<alias>`` is the fleet guard: verdicts on
    dead grants of the app are withheld. ``alarm:<alias>``: `app_misconfigured` has been sent;
    with ``.app_blocked`` after it, because several orgs block the app. ``digest:<alias>``:
    so has the digest. ``rate:<alias>:<token host>``: as many refreshes as the rate of the app allows have been
    claimed.
    """

    scope = models.CharField(
        _("scope"),
        max_length=255,
        unique=True,
        validators=[RegexValidator(SCOPE)],
        help_text=_("all, app:alias, org:18-character id, or host:login.salesforce.com"),
    )
    reason = models.CharField(_("reason"), max_length=64)
    # Empty: by this package. The database fills it in for processes of before an upgrade, which do not know it.
    set_by = models.CharField(_("set by"), max_length=150, default="", db_default="", blank=True, editable=False)
    until = models.DateTimeField(_("until"), null=True, blank=True, help_text=_("Empty: until it is lifted."))
    probe_at = models.DateTimeField(
        _("tested at"), null=True, blank=True, editable=False, help_text=_("When one request may test it.")
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    told_at = models.DateTimeField(_("told at"), null=True, editable=False)  # the operators, by mail

    objects = HoldQuerySet.as_manager()

    class Meta:
        verbose_name = _("hold")
        verbose_name_plural = _("holds")

    def __str__(self) -> str:
        return self.scope

    def is_in_force(self, now: datetime) -> bool:
        return self.until is None or self.until > now

    def may_be_tested(self, now: datetime) -> bool:
        return self.probe_at is not None and self.probe_at <= now
