"""What a deletion leaves behind, also one that begins at the Django user."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import post_delete, pre_delete
from django.dispatch import receiver

from .connection import SalesforceConnection
from .disconnect import forget_later, hand_on_default
from .event import ConnectionEvent
from .record import record


@receiver(pre_delete, sender=SalesforceConnection, dispatch_uid="django_sf_oauth.keep_audit")
def _keep_audit(
    sender: object, instance: SalesforceConnection, using: str, origin: Any = None, **kwargs: object
) -> None:
    """A deleted connection (or user) leaves an event, and a grant for `revoke_pending` to end."""
    # Read again: what is deleted may be an old copy, with a token that was rotated away since.
    row = SalesforceConnection._base_manager.using(using).select_for_update().filter(pk=instance.pk).first()
    if row is None:
        return
    forget_later(row, reason="deleted")
    model = getattr(origin, "model", type(origin))
    record(row, ConnectionEvent.Kind.DELETED, user_stays=model is SalesforceConnection)


@receiver(post_delete, sender=SalesforceConnection, dispatch_uid="django_sf_oauth.hand_on_default")
def _choose_another_default(sender: object, instance: SalesforceConnection, **kwargs: object) -> None:
    if instance.is_default:
        hand_on_default(instance)
