"""One way to say which connections are meant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.protocol.identity import to_18

if TYPE_CHECKING:
    from django_sf_oauth.models.queryset import SalesforceConnectionQuerySet

__all__ = ["NoSuchUser", "Selection"]


class NoSuchUser(LookupError):
    """Nobody on this site has that name or primary key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which connections; everything that is given narrows it further.

    Attributes:
        everything: all of them.
        uuids: public ids of connections.
        user: what the user signs in with here, or their primary key.
        org: id of an organization, 15 or 18 characters.
        app: alias of a connected app.
        since: connected, or connected again, at that time or later.
    """

    everything: bool = False
    uuids: tuple[UUID, ...] = ()
    user: str = ""
    org: str = ""
    app: str = ""
    since: datetime | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said: that never means everything."""
        return self == Selection()

    @property
    def hold_scope(self) -> str:
        """The scope of the kill switch that stops these connections and no others; empty if there is none."""
        if self.uuids or self.user or self.since or (self.org and self.app):
            return ""
        if self.org:
            return f"org:{to_18(self.org)}"
        return f"app:{self.app}" if self.app else "all"

    def connections(self) -> SalesforceConnectionQuerySet:
        """The rows, oldest first.

        Raises:
            NoSuchUser: nobody here is called `user`.
            ValueError: `org` is not an id.
        """
        rows = SalesforceConnection.objects.filter(**self._conditions()).order_by("pk")
        return rows.none() if self.is_empty else rows

    def _conditions(self) -> dict[str, Any]:
        wanted = {
            "uuid__in": self.uuids,
            "user": self.user and find_user(self.user),
            "organization_id": self.org and to_18(self.org),
            "app": self.app,
            "connected_at__gte": self.since,
        }
        return {lookup: value for lookup, value in wanted.items() if value}


def find_user(name: str) -> Any:
    """A user of this site by what they sign in with, or by primary key.

    Raises:
        NoSuchUser
    """
    users = get_user_model()._default_manager
    for lookup in (get_user_model().USERNAME_FIELD, "pk"):
        try:
            return users.get(**{lookup: name})
        except (get_user_model().DoesNotExist, ValueError, ValidationError):
            continue
    raise NoSuchUser(f"There is no user {name!r}.")
