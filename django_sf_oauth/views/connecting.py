"""To Salesforce and back."""

from __future__ import annotations

import re
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_variables

from django_sf_oauth.exceptions import ConnectFailed
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.protocol.authorize import read_callback
from django_sf_oauth.protocol.hosts import host_of, origin_of
from django_sf_oauth.services.callback import CallbackFailed, Connected, finish
from django_sf_oauth.services.connect import start
from django_sf_oauth.services.failures import failed

from .failing import failure_page
from .guards import BROWSER, NO_REFERRER, browser_mark, is_safe, own_connection, page, signed_in

__all__ = ["callback", "connect", "reconnect"]

# Where servers put the query: WSGI and ASGI, gunicorn, and uWSGI or mod_wsgi.
WITH_QUERY = frozenset({"QUERY_STRING", "RAW_URI", "REQUEST_URI"})

# Nothing that Django and a browser read differently: "//" alone, a backslash, a control character.
PATH = re.compile(r"/(?!/)[^\x00-\x1f\x7f\\]*")


@page("POST")
@signed_in
def connect(request: HttpRequest) -> HttpResponse:
    """Begins to connect: ``app``, ``login_host``, ``login_hint`` and ``next`` are optional."""
    return _begin(request, None)


@page("GET", "POST")
@signed_in
def reconnect(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Begins to connect an existing connection again. A GET, as from a mail, shows the page with the button."""
    connection = own_connection(request, uuid)
    return redirect("sf_oauth:connections") if request.method == "GET" else _begin(request, connection)


@sensitive_variables("authorization")
def _begin(request: HttpRequest, connection: SalesforceConnection | None) -> HttpResponse:
    form = request.POST
    try:
        authorization = start(
            user=request.user,
            browser=browser_mark(request),
            redirect_uri=request.build_absolute_uri(reverse("sf_oauth:callback")),
            app=form.get("app", ""),
            login_host=form.get("login_host", ""),
            login_hint=form.get("login_hint", ""),
            next_url=_next_url(request),
            connection=connection,
        )
    except ConnectFailed as failure:
        return failure_page(request, failure)
    return _go_on(request, authorization.url(), authorization.login_url)


def _next_url(request: HttpRequest) -> str:
    """Where on this site to go afterwards: a path or a whole URL; a bare word leads nowhere and is ignored.

    Raises:
        ConnectFailed: ``bad_next``.
    """
    url = request.POST.get("next", "")
    if url and not is_safe(request, url):
        raise failed("bad_next")
    return url if PATH.fullmatch(url) or origin_of(url) else ""


def _go_on(request: HttpRequest, url: str, login_url: str) -> HttpResponse:
    """A page that goes on by itself: browsers block a redirect of a form under ``form-action 'self'``."""
    host = host_of(login_url)
    response = render(request, "sf_oauth/continue.html", {"url": url, "host": host})
    response.headers["Referrer-Policy"] = NO_REFERRER
    return response


@page("GET")
def callback(request: HttpRequest) -> HttpResponse:
    """Where Salesforce sends the browser back; `signed_in` would carry the code on into the login page's URL."""
    outcome = _outcome_of(request)
    # Not where it was caught: an error in the page's template would report the failure's frames as its context.
    if isinstance(outcome, CallbackFailed):
        return failure_page(request, outcome, outcome.attempt)
    _tell(request, outcome)
    # Not redirect(): it would take a path for the name of a view first.
    response = HttpResponseRedirect(outcome.next_url or reverse("sf_oauth:connections"))
    response.headers["Referrer-Policy"] = NO_REFERRER
    return response


def _outcome_of(request: HttpRequest) -> Connected | CallbackFailed:
    said = read_callback(_taken_query(request))
    user = request.user if request.user.is_authenticated else None
    try:
        return finish(user=user, browser=request.session.get(BROWSER, ""), callback=said)
    except CallbackFailed as failure:
        return failure.with_traceback(None)


def _taken_query(request: HttpRequest) -> dict[str, list[str]]:
    """Takes code and state out of the request, so that Django's error report of a later failure lacks them."""
    query = {name: [str(value) for value in values] for name, values in request.GET.lists()}
    request.GET = QueryDict()
    for name in WITH_QUERY.intersection(request.META):
        request.META[name] = ""
    return query


def _tell(request: HttpRequest, connected: Connected) -> None:
    connection = connected.connection
    text = _("%(who)s is connected.") if connected.is_new else _("%(who)s is connected again.")
    messages.success(request, text % {"who": connection}, fail_silently=True)
    if connected.expected is not None:
        messages.warning(request, _other_identity(connected), fail_silently=True)
    if connected.shared_with:
        messages.warning(request, _shared(connected.shared_with), fail_silently=True)


def _other_identity(connected: Connected) -> str:
    return _(
        "You signed in to Salesforce as %(who)s, which is a connection of its own. %(expected)s still waits: "
        "sign out of Salesforce in this browser, then press its button again."
    ) % {"who": connected.connection, "expected": connected.expected}


def _shared(others: int) -> str:
    return ngettext(
        "%(others)s other person on this site uses the same Salesforce user. Salesforce keeps five approvals "
        "per user and silently drops the oldest, so that sharing one can end somebody's connection.",
        "%(others)s other people on this site use the same Salesforce user. Salesforce keeps five approvals "
        "per user and silently drops the oldest, so that sharing one can end somebody's connection.",
        others,
    ) % {"others": others}
