"""The page of an attempt that failed."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from django_sf_oauth.exceptions import ConnectFailed
from django_sf_oauth.models import ConnectAttempt
from django_sf_oauth.services.failures import describe

from .presenting import Retry

__all__ = ["failure_page"]

PAUSE = "60"  # seconds
LATER = frozenset({429, 503})


def failure_page(
    request: HttpRequest, failed: ConnectFailed, attempt: ConnectAttempt | None = None
) -> HttpResponse:
    """Says what happened and who can mend it, with a button to begin the attempt again if there was one."""
    failure = describe(failed.code)
    context = {
        "failure": failure,
        "happened": failed.user_message,
        "code": failed.code,
        "retry": Retry.of(attempt) if attempt else None,
    }
    response = render(request, "sf_oauth/failed.html", context, status=failure.status)
    if failure.status in LATER:
        response.headers["Retry-After"] = PAUSE
    return response
