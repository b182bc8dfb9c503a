"""The audit trail: what happened to a connection, and who did it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any, Self

from django.conf import settings
from django.db import models, router, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from . import signing
from .admission import admit

__all__ = ["ConnectionEvent"]


class ConnectionEventQuerySet(models.QuerySet["ConnectionEvent"]):
    def update(self, **kwargs: Any) -> int:
        raise TypeError("The audit trail is append-only.")

    def bulk_create(
        self,
        objs: Iterable[ConnectionEvent],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[ConnectionEvent]:
        """Numbers and signs them, in the order in which they are given."""
        if ignore_conflicts or update_conflicts:
            raise TypeError("The audit trail is append-only.")
        events = list(objs)
        using = self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]  # stubs lack Django's own
        with transaction.atomic(using=using, savepoint=False):
            admit(events, using)
            return super().bulk_create(events, batch_size)

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
        SUSPICIOUS = "suspicious", _("suspicious")

    kind = models.CharField(_("what happened"), max_length=32, choices=Kind.choices)
    reason = models.CharField(_("reason"), max_length=64, blank=True)
    created_at = models.DateTimeField(_("when"), default=timezone.now, db_index=True)
    connection = models.ForeignKey(
        "SalesforceConnection", on_delete=models.SET_NULL, null=True, related_name="events"
    )
    connection_uuid = models.UUIDField(_("connection"), null=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    app = models.CharField(_("connected app"), max_length=64)
    organization_id = models.CharField(_("organization id"), max_length=18, blank=True)
    salesforce_user_id = models.CharField(_("Salesforce user id"), max_length=18, blank=True)
    username = models.CharField(_("Salesforce username"), max_length=255, blank=True)

    # With a default in the database too: the processes of the last release go on writing during a deployment.
    sequence = models.PositiveBigIntegerField(_("number"), null=True, editable=False)
    user_key = models.CharField(_("user's key"), max_length=255, blank=True, default="", db_default="")
    actor_key = models.CharField(_("actor's key"), max_length=255, blank=True, default="", db_default="")
    fingerprint = models.CharField(_("token's fingerprint"), max_length=48, blank=True, default="", db_default="")
    mac = models.CharField(max_length=80, blank=True, default="", db_default="", editable=False)

    objects = ConnectionEventQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("connection event")
        verbose_name_plural = _("connection events")
        constraints = [
            models.UniqueConstraint(fields=["connection_uuid", "sequence"], name="sf_oauth_one_sequence")
        ]
        indexes = [models.Index(fields=["fingerprint"], name="sf_oauth_fingerprint")]

    def __str__(self) -> str:
        return f"{self.kind} {self.reason}".rstrip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("The audit trail is append-only.")
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using, savepoint=False):
            admit([self], using)
            super().save(*args, **kwargs)

    def signed(self) -> ConnectionEvent:
        """With the keys of the people whom it names, which outlive them, and the MAC over all of it."""
        self.user_key = self.user_key or self._key_in("user")
        self.actor_key = self.actor_key or self._key_in("actor")
        self.mac = signing.mac(self.content())
        return self

    def holds(self) -> bool:
        """Whether it says what it said when it was signed.

        The people are signed by their keys: what refers to them may become empty, when they are deleted, but not
        refer to others.
        """
        people = {("user", self.user_key), ("actor", self.actor_key)}
        return signing.mac_holds(self.mac, self.content()) and all(
            self._key_in(name) in ("", key) for name, key in people
        )

    def content(self) -> signing.Content:
        """What is signed."""
        return (
            "event",
            None if self.connection_uuid is None else str(self.connection_uuid),
            self.sequence,
            str(self.kind),
            self.reason,
            _utc(self.created_at),
            self.user_key,
            self.actor_key,
            self.app,
            self.organization_id,
            self.salesforce_user_id,
            self.username,
            self.fingerprint,
        )

    def _key_in(self, name: str) -> str:
        """The primary key in a foreign key, as text; empty when it refers to nobody."""
        field: Any = self._meta.get_field(name)
        value = getattr(self, field.attname)
        return "" if value is None else str(field.target_field.to_python(value))


def _utc(moment: datetime) -> str:
    # The hour that comes twice a year is read back as its first without USE_TZ, so it is signed as that.
    aware = timezone.make_aware(moment.replace(fold=0)) if timezone.is_naive(moment) else moment
    return aware.astimezone(UTC).isoformat()
