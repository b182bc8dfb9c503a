"""Which of a user's connections is meant when none is named."""

from __future__ import annotations

from django.db import IntegrityError, router, transaction

from django_sf_oauth.models import SalesforceConnection

__all__ = ["become_default_if_first", "make_default"]


def make_default(connection: SalesforceConnection) -> None:
    """Makes it the user's default connection, instead of whichever was."""
    with transaction.atomic(using=router.db_for_write(SalesforceConnection)):
        rows = SalesforceConnection.objects.filter(user=connection.user_id)
        list(rows.select_for_update().order_by("pk").values_list("pk"))  # in one order: others wait their turn
        rows.filter(is_default=True).exclude(pk=connection.pk).update(is_default=None)
        rows.filter(pk=connection.pk).update(is_default=True)
    connection.is_default = True


def become_default_if_first(connection: SalesforceConnection) -> None:
    """Makes it the default of a user who has none."""
    using = router.db_for_write(SalesforceConnection)  # a replica may not know of the default yet
    rows = SalesforceConnection.objects.using(using).filter(user=connection.user_id)
    if rows.filter(is_default=True).exists():
        return
    try:
        with transaction.atomic(using=using):
            rows.filter(pk=connection.pk).update(is_default=True)
    except IntegrityError:
        return  # a second tab has just connected another org, which is the default now
    connection.is_default = True
