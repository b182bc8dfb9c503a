"""Every user's own Salesforce connection, kept alive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .models import SalesforceConnection

__all__ = ["aget_connection", "get_connection"]


def get_connection(
    user: Any, *, org_id: str | None = None, app: str | None = None, scopes: Sequence[str] = ()
) -> SalesforceConnection:
    """The user's default connection; with `org_id`, `app` or `scopes`, the best one that fits them.

    Args:
        user: a user of this site.
        org_id: 15 or 18 characters.
        app: alias of a connected app.
        scopes: those that it must have been granted.

    Raises:
        NotConnected: the user has none.
    """
    # Imported here: this module is imported by settings, before there are models.
    from .models import SalesforceConnection

    return SalesforceConnection.objects.pick(user, org_id=org_id, app=app, scopes=scopes)


async def aget_connection(
    user: Any, *, org_id: str | None = None, app: str | None = None, scopes: Sequence[str] = ()
) -> SalesforceConnection:
    """As `get_connection`."""
    from asgiref.sync import sync_to_async

    return await sync_to_async(get_connection)(user, org_id=org_id, app=app, scopes=scopes)
