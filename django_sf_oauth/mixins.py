"""`SalesforceRequiredMixin`: the decorator for class-based views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest

from .decorators import salesforce_required

if TYPE_CHECKING:
    from django.views import View
else:
    View = object

__all__ = ["SalesforceRequiredMixin"]


class SalesforceRequiredMixin(View):
    """Put it first: ``class Accounts(SalesforceRequiredMixin, View)``. Sync and async views alike.

    Attributes:
        salesforce_scopes: those that the connection must have been granted.
        salesforce_app: alias of the connected app that is meant; None is any.
    """

    salesforce_scopes: Sequence[str] = ()
    salesforce_app: str | None = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        handle: Callable[..., Any] = super().dispatch

        async def handle_async(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return await handle(request, *args, **kwargs)

        guard = salesforce_required(scopes=self.salesforce_scopes, app=self.salesforce_app)
        return guard(handle_async if self.view_is_async else handle)(request, *args, **kwargs)
