"""``request.salesforce`` and ``request.asalesforce()``: clients of the default connection, or of a chosen one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

from . import aget_connection, get_connection

if TYPE_CHECKING:
    from .aclient import AsyncClient
    from .client import Client
    from .models import SalesforceConnection

    Lazy = LazyObject[Client]
else:
    Lazy = LazyObject

__all__ = ["LazyClient", "SalesforceMiddleware", "attach"]

_set = object.__setattr__  # on the lazy object itself; its own way is to go through what it wraps


class LazyClient(Lazy):
    """The client of a request's user, made when it is first used. Cheaper to set up than a `SimpleLazyObject`.

    It is one of `connection` if that is given, and otherwise of the user's default. Using it then raises
    NotConnected for an anonymous user, and for one without a connection.
    """

    _wrapped: Any = empty
    _connection: SalesforceConnection | None = None

    def __init__(self, request: HttpRequest, connection: SalesforceConnection | None = None) -> None:
        _set(self, "_request", request)
        if connection is not None:
            _set(self, "_connection", connection)

    def _setup(self) -> None:
        connection = self._connection or get_connection(getattr(self._request, "user", None))
        self._wrapped = connection.client()


def attach(request: Any, connection: SalesforceConnection | None = None) -> None:
    """Gives the request its clients, of `connection` or, when they are used, of the user's default."""
    request.salesforce = LazyClient(request, connection)
    request.asalesforce = partial(_async_client, request, connection)


async def _async_client(request: Any, connection: SalesforceConnection | None) -> AsyncClient:
    if connection is None:
        connection = await aget_connection(await _user_of(request))
        request.asalesforce = partial(_async_client, request, connection)  # later calls ask no database
    return connection.async_client()


async def _user_of(request: Any) -> Any:
    return await request.auser() if hasattr(request, "auser") else getattr(request, "user", None)


class SalesforceMiddleware:
    """Sets ``request.salesforce`` and ``request.asalesforce()``, which ask the database when they are used.

    It only acts ahead of the view, so that the same call serves sync and async sites: under ASGI it hands the
    coroutine on. Place it after ``AuthenticationMiddleware``.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        attach(request)
        return self.get_response(request)
