"""``request.salesforce``: a client of the user's default connection, or of the one that a guard chose."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

from . import get_connection

if TYPE_CHECKING:
    from .client import Client
    from .models import SalesforceConnection

    Lazy = LazyObject[Client]
else:
    Lazy = LazyObject

__all__ = ["LazyClient", "SalesforceMiddleware"]


class LazyClient(Lazy):
    """The client of a request's user, made when it is first used. Cheaper to set up than a `SimpleLazyObject`.

    It is one of `connection` if that is given, and otherwise of the user's default. Using it then raises
    NotConnected for an anonymous user, and for one without a connection.
    """

    _wrapped: Any = empty

    def __init__(self, request: HttpRequest, connection: SalesforceConnection | None = None) -> None:
        self.__dict__.update(_request=request, _connection=connection)

    def _setup(self) -> None:
        connection = self._connection or get_connection(getattr(self._request, "user", None))
        self._wrapped = connection.client()


class SalesforceMiddleware:
    """Sets ``request.salesforce``, which asks the database when it is used and not before.

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
        request.salesforce = LazyClient(request)  # type: ignore[attr-defined]  # added here
        return self.get_response(request)
