"""How long the history of each connection is: what a verifier needs to know to miss an event."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from uuid import UUID

from django.apps import apps
from django.db import connections, models
from django.db.models import OuterRef, Subquery
from django.utils.translation import gettext_lazy as _

from . import signing

__all__ = ["AuditChain"]


class AuditChainQuerySet(models.QuerySet["AuditChain"]):
    def locked(self, uuids: Collection[UUID]) -> Mapping[UUID, AuditChain]:
        """The chains of these connections, begun where there was none, until the caller's transaction ends."""
        found = self._lock(uuids)
        if missing := set(uuids) - found.keys():
            # Somebody else may begin it in the same moment: then theirs is waited for.
            self.bulk_create([AuditChain(pk=uuid).signed() for uuid in sorted(missing)], ignore_conflicts=True)
            found |= self._lock(missing)
        return found

    def _lock(self, uuids: Collection[UUID]) -> dict[UUID, AuditChain]:
        """In the order of their ids, so that nobody deadlocks."""
        rows = self.with_newest().select_for_update().filter(pk__in=uuids).order_by("pk")
        return {row.pk: row for row in rows}

    def with_newest(self) -> AuditChainQuerySet:
        """Each with ``newest``, the highest number that an event has."""
        events = apps.get_model("django_sf_oauth", "ConnectionEvent")._base_manager.using(self.db)
        numbered = events.filter(connection_uuid=OuterRef("pk"), sequence__isnull=False)
        return self.annotate(newest=Subquery(numbered.order_by("-sequence").values("sequence")[:1]))

    def store(self, chains: Iterable[AuditChain]) -> None:
        """Writes chains that the caller has locked."""
        with_target = connections[self.db].features.supports_update_conflicts_with_target
        self.bulk_create(
            list(chains),
            update_conflicts=True,
            update_fields=["first", "last", "mac"],
            unique_fields=["connection_uuid"] if with_target else None,
        )


class AuditChain(models.Model):
    """The events of one connection that there have to be: those with the numbers ``first`` to ``last``.

    It is signed as they are. ``first`` moves on when old events are pruned. A chain that was tampered with is
    never signed again, so that the next event does not cover it up.
    """

    connection_uuid = models.UUIDField(primary_key=True)
    first = models.PositiveBigIntegerField(default=1)
    last = models.PositiveBigIntegerField(default=0)
    mac = models.CharField(max_length=80, blank=True, default="")

    objects = AuditChainQuerySet.as_manager()

    class Meta:
        verbose_name = _("audit chain")
        verbose_name_plural = _("audit chains")

    def __str__(self) -> str:
        return f"{self.pk} {self.first}-{self.last}"

    def holds(self) -> bool:
        """Whether it is as it was signed."""
        return signing.mac_holds(self.mac, self._content())

    def signed(self) -> AuditChain:
        self.mac = signing.mac(self._content())
        return self

    def extended(self) -> AuditChain:
        """With room for one more event, whose number is `last`."""
        return self._moved(first=self.first, last=max(self.last, self._newest) + 1)

    def pruned(self, *, first: int) -> AuditChain:
        """With `first` as the number of the first event that is left."""
        return self._moved(first=first, last=self.last)

    def resigned(self) -> AuditChain:
        """Under the newest key."""
        return self._moved(first=self.first, last=self.last)

    def _moved(self, *, first: int, last: int) -> AuditChain:
        is_sound = self.is_sound()
        self.first, self.last, self.mac = first, last, ""
        return self.signed() if is_sound else self

    def is_sound(self) -> bool:
        """Whether it may be signed anew: an older copy of it that was put back is behind its own events."""
        return self.holds() and self._newest <= self.last

    @property
    def _newest(self) -> int:
        return getattr(self, "newest", None) or 0

    def _content(self) -> signing.Content:
        return "chain", str(self.pk), self.first, self.last
