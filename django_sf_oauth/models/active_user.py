"""Inactive users of the site neither use nor refresh their connections."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, SynchronousOnlyOperation
from django.db import Error

from django_sf_oauth.exceptions import NotConnected

if TYPE_CHECKING:
    from .connection import SalesforceConnection

__all__ = ["active_among", "is_active", "raise_unless_active_user", "user_inactive"]


def is_active(user: Any) -> bool:
    """By a field, a property, or nothing that the user model knows of."""
    return bool(getattr(user, "is_active", True))


def active_among(alias: str, keys: Collection[Any]) -> set[Any]:
    """Those of the users with these primary keys who are active."""
    users = get_user_model()._base_manager.using(alias)
    if any(field.name == "is_active" for field in get_user_model()._meta.concrete_fields):
        return set(users.filter(pk__in=keys, is_active=True).values_list("pk", flat=True))
    return {key for key, user in users.in_bulk(keys).items() if is_active(user)}


def raise_unless_active_user(connection: SalesforceConnection) -> None:
    """Raises NotConnected (code ``user_inactive``). It asks the database if the user was not loaded yet.

    Whom nobody can ask about now is taken for active: so they were when it was asked last.
    """
    active = True
    with suppress(Error, SynchronousOnlyOperation, ObjectDoesNotExist):
        active = is_active(connection.user)
    if not active:
        raise user_inactive(connection)


def user_inactive(connection: SalesforceConnection | None = None) -> NotConnected:
    return NotConnected(
        "The connection's user is inactive on this site.",
        code="user_inactive",
        user_message="Your account on this site is not active.",
        connection_id=connection.uuid if connection else None,
    )
