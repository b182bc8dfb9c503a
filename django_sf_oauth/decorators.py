"""``@salesforce_required``: a view that only runs for somebody whose Salesforce connection works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from math import ceil
from typing import TYPE_CHECKING, Any, TypeVar, overload
from urllib.parse import urlencode

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from . import get_connection
from .exceptions import (
    AccessBlocked,
    MissingScopes,
    NotConnected,
    ReconnectRequired,
    SalesforceOAuthError,
    TemporarilyUnavailable,
    TokenUnreadable,
)
from .grants.outcome import raise_unless_active
from .middleware import attach
from .models.kill_switch import kill_switch
from .protocol.tokens import missing_scopes

if TYPE_CHECKING:
    from .models import SalesforceConnection

__all__ = ["salesforce_required"]

# What the user or their admin can mend on the page of connections; anything else is not for a redirect.
MENDABLE = (NotConnected, AccessBlocked, MissingScopes, TokenUnreadable)
ANSWERED = (*MENDABLE, TemporarilyUnavailable)
SOON = 30  # seconds; when nobody knows how long it takes

Need = Callable[[Any], "SalesforceConnection"]
V = TypeVar("V", bound=Callable[..., Any])


@overload
def salesforce_required(view: V) -> V: ...


@overload
def salesforce_required(*, scopes: Sequence[str] = (), app: str | None = None) -> Callable[[V], V]: ...


def salesforce_required(view: V | None = None, *, scopes: Sequence[str] = (), app: str | None = None) -> Any:
    """Lets a view run, sync or async, only for a user with a working connection.

    In the view ``request.salesforce`` is a client of that connection, and so is ``await request.asalesforce()``,
    with or without the middleware. It need not be the user's default connection.

    An anonymous visitor is sent to the login page. Others are sent to their connections, with ``next`` leading
    back; a request that prefers JSON gets 403 with ``code`` and ``reconnect_url``. The same answers are given when
    the view itself raises `NotConnected`, `ReconnectRequired`, `AccessBlocked`, `MissingScopes` or
    `TokenUnreadable`.

    `TemporarilyUnavailable`, of the view or because an operator has stopped the use of Salesforce, is answered by
    503 with ``Retry-After``: a page, or JSON with ``code`` and ``retry_after`` (seconds).

    Args:
        scopes: those that the connection must have been granted.
        app: alias of the connected app that is meant.
    """
    if view is None:
        return partial(salesforce_required, scopes=scopes, app=app)
    need = partial(_check, scopes=tuple(scopes), app=app)
    return _guarded_async(view, need) if iscoroutinefunction(view) else _guarded(view, need)


def _guarded(view: Callable[..., Any], need: Need) -> Callable[..., Any]:
    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        try:
            attach(request, need(request.user))
            return view(request, *args, **kwargs)
        except ANSWERED as error:
            return _answer_to(request, error)

    return answer


def _guarded_async(view: Callable[..., Any], need: Need) -> Callable[..., Any]:
    @wraps(view)
    async def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        user = await request.auser()
        if not user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        try:
            attach(request, await sync_to_async(need)(user))
            return await view(request, *args, **kwargs)
        except ANSWERED as error:
            return await sync_to_async(_answer_to)(request, error)

    return answer


def _check(user: Any, *, scopes: tuple[str, ...], app: str | None) -> SalesforceConnection:
    """The connection that has what is needed; raises one of `ANSWERED` unless it works."""
    try:
        connection = get_connection(user, app=app, scopes=scopes)
    except NotConnected:
        # Either there is none, which is raised again here, or it lacks a scope.
        connection = get_connection(user, app=app)
        missing = missing_scopes(connection.scopes, scopes)
        raise MissingScopes(missing=missing, connection_id=connection.uuid) from None
    kill_switch.check(connection)  # first: what is stopped cannot be connected again either
    raise_unless_active(connection)
    return connection


def _answer_to(request: HttpRequest, error: SalesforceOAuthError) -> HttpResponse:
    if isinstance(error, TemporarilyUnavailable):
        return _unavailable(request, error)
    return _refusal(request, error)


def _unavailable(request: HttpRequest, error: TemporarilyUnavailable) -> HttpResponse:
    seconds = max(1, ceil(SOON if error.retry_after is None else error.retry_after))
    if _wants_json(request):
        told = {"code": error.code, "message": str(error.user_message), "retry_after": seconds}
        response: HttpResponse = JsonResponse(told, status=503)
    else:
        again = request.get_full_path() if request.method in {"GET", "HEAD"} else ""
        context = {"happened": error.user_message, "code": error.code, "again": again}
        response = render(request, "sf_oauth/unavailable.html", context, status=503)
    response.headers["Retry-After"] = str(seconds)
    response.headers["Cache-Control"] = "no-store"
    return response


def _wants_json(request: HttpRequest) -> bool:
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def _refusal(request: HttpRequest, error: SalesforceOAuthError) -> HttpResponse:
    if _wants_json(request):
        return JsonResponse(_described(error), status=403)
    messages.warning(request, error.user_message, fail_silently=True)
    return redirect(_connections_then(request))


def _described(error: SalesforceOAuthError) -> dict[str, Any]:
    described: dict[str, Any] = {
        "code": error.code,
        "message": str(error.user_message),
        "reconnect_url": _reconnect_url(error),
    }
    if isinstance(error, MissingScopes):
        described["missing"] = list(error.missing)
    return described


def _reconnect_url(error: SalesforceOAuthError) -> str:
    own = error.reconnect_url if isinstance(error, ReconnectRequired) else ""
    return own or reverse("sf_oauth:connections")


def _connections_then(request: HttpRequest) -> str:
    connections = reverse("sf_oauth:connections")
    if request.method not in {"GET", "HEAD"}:
        return connections  # a page that answers POST alone is no place to come back to
    return f"{connections}?{urlencode({'next': request.get_full_path()})}"
