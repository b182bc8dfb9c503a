"""What all pages have in common: who may see them, what browsers may keep of them, where they may lead."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib.auth.views import redirect_to_login
from django.db import connections as databases
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.csrf import csrf_protect

from django_sf_oauth.models import SalesforceConnection

__all__ = ["NO_REFERRER", "browser_mark", "is_safe", "own_connection", "page", "signed_in"]

NO_REFERRER = "no-referrer"
# On pages with a form: under no-referrer a browser sends neither a Referer nor a true Origin with the form, and
# Django's CSRF check refuses that on https.
SAME_ORIGIN = "same-origin"

BROWSER = "sf_oauth_browser"

View = Callable[..., HttpResponse]


def page(*methods: str) -> Callable[[View], View]:
    """Answers these methods only, checks CSRF, forbids to keep the answer, and leaves commits to the services.

    Under ``ATOMIC_REQUESTS`` a failing view would roll back a spent state or a stored token.
    """

    def decorate(view: View) -> View:
        protected = csrf_protect(view)

        @wraps(view)
        def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method in methods:
                response = protected(request, *args, **kwargs)
            else:
                response = HttpResponseNotAllowed(methods)
            response.headers["Cache-Control"] = "no-store"
            response.headers.setdefault("Referrer-Policy", SAME_ORIGIN)
            return response

        guarded: View = answer
        for alias in databases:
            guarded = transaction.non_atomic_requests(using=alias)(guarded)
        return guarded

    return decorate


def signed_in(view: View) -> View:
    """Sends an anonymous visitor to the login page, and from there to a page that answers GET."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        back = request.get_full_path() if request.method == "GET" else reverse("sf_oauth:connections")
        return redirect_to_login(back)

    return answer


def own_connection(request: HttpRequest, uuid: UUID) -> SalesforceConnection:
    """The user's connection of this uuid; somebody else's is as absent as none (Http404)."""
    return get_object_or_404(SalesforceConnection, uuid=uuid, user=request.user)


def browser_mark(request: HttpRequest) -> str:
    """What tells this browser session from others. Unlike a session key it also exists in signed cookies."""
    mark = request.session.get(BROWSER)
    if not isinstance(mark, str):
        mark = request.session[BROWSER] = secrets.token_urlsafe(32)
    return mark


def is_safe(request: HttpRequest, url: str) -> bool:
    """Whether a URL that came with the request stays on this site."""
    return url_has_allowed_host_and_scheme(
        url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
