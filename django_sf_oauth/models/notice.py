"""What a user has still to be told, and who does not want to be told."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import models
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_sf_oauth.conf import get_apps
from django_sf_oauth.grants.backoff import full_jitter

if TYPE_CHECKING:
    from .connection import SalesforceConnection

__all__ = ["MailOptOut", "Notice"]

CLAIMED_FOR = timedelta(minutes=5)  # a notice whose worker died is due again after that
FIRST_PAUSE = 60  # seconds
LONGEST_PAUSE = 12 * 3600  # seconds
TRIES = 16  # over two days or so


class NoticeQuerySet(models.QuerySet["Notice"]):
    def open_for(self, connections: Iterable[SalesforceConnection]) -> None:
        """Begins an incident of each that has none, if its app mails users; due after its guard's window."""
        apps, now = get_apps(), timezone.now()
        told = [(row, apps[row.app]) for row in connections if row.app in apps and apps[row.app].notify_users]
        self.bulk_create(
            [
                Notice(connection=row, opened_at=now, due_at=now + timedelta(seconds=app.fleet_guard.window))
                for row, app in told
            ],
            ignore_conflicts=True,  # the same incident, for another reason
        )

    def close_for(self, connections: Iterable[SalesforceConnection]) -> None:
        """Ends their incidents: what was not sent yet never will be."""
        self.filter(connection__in=[row.pk for row in connections]).delete()

    def due(self, now: datetime, apps: Iterable[str]) -> Self:
        """Those to send for these apps (aliases), longest overdue first."""
        return self.filter(due_at__lte=now, connection__app__in=list(apps)).order_by("due_at")

    def claim(self, notice: Notice, now: datetime) -> bool:
        """Whether the caller is the one, of all processes, that sends it now. A claim is a try."""
        found = self.filter(pk=notice.pk, due_at=notice.due_at)
        return bool(found.update(due_at=now + CLAIMED_FOR, attempts=F("attempts") + 1))


class Notice(models.Model):
    """One open incident: a connection that its user has to connect again, and whether they were told.

    Written in the transaction that flags the connection, deleted in the one that ends the incident. ``due_at`` is
    empty when nothing is left to send: it was sent (``told_at``), nobody wants it, or all tries have failed.
    """

    connection = models.OneToOneField("SalesforceConnection", on_delete=models.CASCADE, related_name="+")
    opened_at = models.DateTimeField(_("opened at"), default=timezone.now)
    due_at = models.DateTimeField(_("due at"), null=True, db_index=True)
    told_at = models.DateTimeField(_("told at"), null=True)
    attempts = models.PositiveIntegerField(default=0)

    objects = NoticeQuerySet.as_manager()

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")

    def __str__(self) -> str:
        return str(self.connection_id)

    def end(self, *, told_at: datetime | None = None) -> None:
        """Nothing is left to send in this incident."""
        self._update(due_at=None, told_at=told_at)

    def wait(self) -> None:
        """Looks again when the claim ends; what is held back has cost no try."""
        self._update(attempts=self.attempts - 1)

    def postpone(self) -> bool:
        """Waits before the next try: minutes at first, at most half a day. Returns whether there will be one."""
        if self.attempts >= TRIES:
            self.end()
            return False
        pause = full_jitter(FIRST_PAUSE, self.attempts, LONGEST_PAUSE)
        self._update(due_at=timezone.now() + timedelta(seconds=pause))
        return True

    def _update(self, **values: object) -> None:
        # Not save(): the incident may have ended meanwhile.
        type(self)._base_manager.filter(pk=self.pk).update(**values)


class MailOptOut(models.Model):
    """A user who does not want to be told by mail."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    class Meta:
        verbose_name = _("user without mails")
        verbose_name_plural = _("users without mails")

    def __str__(self) -> str:
        return str(self.pk)
