"""What the user has, and can do with it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import router
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from django_sf_oauth.models import PendingRevocation, SalesforceConnection
from django_sf_oauth.services.advice import advise
from django_sf_oauth.services.default_connection import make_default as make_it_default
from django_sf_oauth.services.mails import address_of
from django_sf_oauth.services.opting_out import is_told, may_be_told

from .guards import is_safe, own_connection, page, signed_in
from .presenting import Card, app_choices, cards_of, open_attempts_of

__all__ = ["connections", "disconnect", "make_default"]

Status = SalesforceConnection.Status


@page("GET", "HEAD")
@signed_in
def connections(request: HttpRequest) -> HttpResponse:
    """All connections of the user, what each needs, and the way to one more."""
    next_url = request.GET.get("next", "")
    context = {
        "cards": cards_of(request.user),
        "attempts": open_attempts_of(request.user),
        "apps": app_choices(),
        "next_url": next_url if is_safe(request, next_url) else "",
        "messages": messages.get_messages(request),
        **_mails(request.user),
    }
    return render(request, "sf_oauth/connections.html", context)


def _mails(user: Any) -> dict[str, Any]:
    """The address that mails go to, if this site can send any, and whether the user wants them."""
    return {"mail_address": address_of(user), "is_told": is_told(user)} if may_be_told(user) else {}


@page("GET", "POST")
@signed_in
def disconnect(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """GET asks; POST forgets the tokens and revokes them at Salesforce, now or later."""
    connection = own_connection(request, uuid)
    if connection.status == Status.DISCONNECTED:
        return redirect("sf_oauth:connections")
    if request.method == "GET":
        card = Card(connection=connection, advice=advise(connection))
        return render(request, "sf_oauth/disconnect.html", {"card": card})
    confirmed = connection.disconnect(actor=request.user)
    messages.success(request, _disconnected(connection, confirmed) % {"who": connection}, fail_silently=True)
    return redirect("sf_oauth:connections")


def _disconnected(connection: SalesforceConnection, confirmed: bool) -> str:
    if confirmed:
        return _("%(who)s is disconnected, and Salesforce has revoked the access.")
    pending = PendingRevocation.objects.using(router.db_for_write(PendingRevocation))
    if pending.filter(connection_uuid=connection.uuid).exists():
        return _("%(who)s is disconnected. Salesforce could not be told yet; this site goes on trying.")
    return _(
        "%(who)s is disconnected. This site had no readable key left to revoke: if Salesforce still lists the "
        "access in your personal settings, end it there."
    )


@page("POST")
@signed_in
def make_default(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Makes it the connection that is meant when none is named."""
    connection = own_connection(request, uuid)
    if connection.status == Status.DISCONNECTED:
        messages.warning(request, _("Connect it again first."), fail_silently=True)
    else:
        make_it_default(connection)
        messages.success(request, _("%(who)s is now your default.") % {"who": connection}, fail_silently=True)
    return redirect("sf_oauth:connections")
