"""How connections are looked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

from django.db.models import Q

from django_sf_oauth.exceptions import NotConnected
from django_sf_oauth.grants.contract import WATCHED, Status
from django_sf_oauth.protocol.identity import to_18
from django_sf_oauth.protocol.tokens import missing_scopes

from .active_user import is_active, user_inactive
from .lifetime import schedule
from .sealed_queryset import SealedQuerySet

if TYPE_CHECKING:
    from .connection import SalesforceConnection

__all__ = ["SalesforceConnectionQuerySet"]


class SalesforceConnectionQuerySet(SealedQuerySet["SalesforceConnection"]):
    def for_user(self, user: Any) -> Self:
        return self.filter(user=user)

    def active(self) -> Self:
        return self.filter(status=Status.ACTIVE)

    def connected(self) -> Self:
        """All but those that the user gave up: what needs a reconnect is among them."""
        return self.exclude(status=Status.DISCONNECTED)

    def due(self, now: Any) -> Self:
        """Those that a sweep would claim."""
        free = Q(claimed_until__isnull=True) | Q(claimed_until__lte=now)
        return self.filter(free, status__in=WATCHED, next_refresh_at__lte=now).order_by("next_refresh_at")

    def pick(
        self,
        user: Any,
        *,
        org_id: str | None = None,
        app: str | None = None,
        scopes: Sequence[str] = (),
    ) -> SalesforceConnection:
        """The user's default connection; with `org_id`, `app` or `scopes`, the best one that fits them.

        Args:
            user: a user of this site.
            org_id: 15 or 18 characters.
            app: alias of a connected app.
            scopes: those it must have been granted.

        Raises:
            NotConnected: the user has none, or is inactive on this site.
            ValueError: `org_id` is no id of Salesforce.
        """
        if not getattr(user, "is_authenticated", False):
            raise NotConnected("An anonymous user has no Salesforce connection.")
        if not is_active(user):
            raise user_inactive()
        fitting = self.for_user(user).connected().order_by("-is_default", "-pk")
        if org_id is not None:
            fitting = fitting.filter(organization_id=to_18(org_id))
        if app is not None:
            fitting = fitting.filter(app=app)
        found = [connection for connection in fitting if not missing_scopes(connection.scopes, scopes)]
        narrowed = org_id is not None or app is not None or bool(scopes)
        # NULLs sort first on some databases, so the default is looked for by name.
        candidates = sorted(found, key=lambda one: (not one.is_default, one.status != Status.ACTIVE))
        if not candidates or not (narrowed or candidates[0].is_default):
            raise NotConnected
        picked = candidates[0]
        self.model._meta.get_field("user").set_cached_value(picked, user)  # whoever uses it asks about its user
        return picked

    def bulk_create(
        self,
        objs: Iterable[SalesforceConnection],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[SalesforceConnection]:
        objs = list(objs)
        for connection in objs:
            schedule(connection)
        created = super().bulk_create(
            objs, batch_size, ignore_conflicts, update_conflicts, update_fields, unique_fields
        )
        for connection in created:
            connection._remember()
        return created
