"""Whether the user is told by mail: by a button on their page, or by the link in each mail."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from django_sf_oauth.services.mail_links import user_of
from django_sf_oauth.services.opting_out import set_told

from .guards import NO_REFERRER, page, signed_in

__all__ = ["mails", "unsubscribe"]


@page("POST")
@signed_in
def mails(request: HttpRequest) -> HttpResponse:
    """Switches mails on (``told`` is ``yes``) or off."""
    told = request.POST.get("told") == "yes"
    set_told(request.user, told)
    text = _("You will be told by mail when a connection needs you.") if told else _("You will get no more mails.")
    messages.success(request, text, fail_silently=True)
    return redirect("sf_oauth:connections")


@page("GET", "HEAD", "POST")
@csrf_exempt  # RFC 8058: a mail program posts, without cookies; the signature says whose mails end
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """GET asks, for link scanners follow links; POST ends the mails. The link is the authority: no login."""
    user = user_of(token)
    state = "unknown" if user is None else "done" if request.method == "POST" else "ask"
    if state == "done":
        set_told(user, False)
    status = 404 if state == "unknown" else 200
    response = render(request, "sf_oauth/unsubscribe.html", {"state": state}, status=status)
    response.headers["Referrer-Policy"] = NO_REFERRER
    return response
