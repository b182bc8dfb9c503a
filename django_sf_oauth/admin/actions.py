"""What an operator can do to connections: refresh them now, or revoke and disconnect them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.services.revoking import revoke_connections
from django_sf_oauth.services.schedule import refresh_connections

__all__ = ["refresh_now", "revoke_and_disconnect"]

MOST = 500  # connections at once: a form may hold 1000 fields
PATIENCE = 8.0  # seconds: a request that lasts longer than its server allows is killed, with its exchanges

REFRESHED = {
    "renewed": (
        messages.SUCCESS,
        ngettext_lazy("%(count)d connection renewed.", "%(count)d connections renewed.", "count"),
    ),
    "dead": (
        messages.WARNING,
        ngettext_lazy(
            "%(count)d connection needs a reconnect by its user.",
            "%(count)d connections need a reconnect by their users.",
            "count",
        ),
    ),
    "blocked": (
        messages.WARNING,
        ngettext_lazy(
            "%(count)d connection is blocked until the customer's Salesforce admin allows it.",
            "%(count)d connections are blocked until the customer's Salesforce admin allows them.",
            "count",
        ),
    ),
    "misconfigured": (
        messages.ERROR,
        ngettext_lazy(
            "%(count)d connection was refused because of the connected app's own settings: run sf_oauth_check.",
            "%(count)d connections were refused because of the connected app's own settings: run sf_oauth_check.",
            "count",
        ),
    ),
    "unavailable": (
        messages.WARNING,
        ngettext_lazy(
            "%(count)d connection could not be renewed right now. Nothing is lost: it will be tried again.",
            "%(count)d connections could not be renewed right now. Nothing is lost: they will be tried again.",
            "count",
        ),
    ),
    "gone": (
        messages.INFO,
        ngettext_lazy(
            "%(count)d connection is disconnected: there is nothing to renew.",
            "%(count)d connections are disconnected: there is nothing to renew.",
            "count",
        ),
    ),
    "skipped": (
        messages.INFO,
        ngettext_lazy(
            "%(count)d connection left alone: its user is inactive on this site.",
            "%(count)d connections left alone: their users are inactive on this site.",
            "count",
        ),
    ),
    "under_way": (
        messages.INFO,
        ngettext_lazy(
            "%(count)d connection is still being renewed: look again in a minute.",
            "%(count)d connections are still being renewed: look again in a minute.",
            "count",
        ),
    ),
}
REVOKED = {
    "revoked": (
        messages.SUCCESS,
        ngettext_lazy(
            "%(count)d connection disconnected and revoked at Salesforce.",
            "%(count)d connections disconnected and revoked at Salesforce.",
            "count",
        ),
    ),
    "pending": (
        messages.WARNING,
        ngettext_lazy(
            "%(count)d connection disconnected here. Salesforce did not confirm yet: it will be asked again.",
            "%(count)d connections disconnected here. Salesforce did not confirm yet: it will be asked again.",
            "count",
        ),
    ),
    "gone": (
        messages.INFO,
        ngettext_lazy(
            "%(count)d connection was disconnected already.",
            "%(count)d connections were disconnected already.",
            "count",
        ),
    ),
}
LEFT_OVER = {
    "postponed": (
        messages.WARNING,
        ngettext_lazy(
            "%(count)d connection was not reached in time: select it again.",
            "%(count)d connections were not reached in time: select them again.",
            "count",
        ),
    ),
    "failed": (
        messages.ERROR,
        ngettext_lazy(
            "%(count)d connection failed unexpectedly: the log says why.",
            "%(count)d connections failed unexpectedly: the log says why.",
            "count",
        ),
    ),
}


@admin.action(description=gettext_lazy("Refresh now"), permissions=["operate"])
def refresh_now(modeladmin: Any, request: HttpRequest, queryset: QuerySet[SalesforceConnection]) -> None:
    """Asks Salesforce for new tokens at once, whatever the schedule and the back-off say."""
    ids = _few_enough(modeladmin, request, queryset)
    _log(request, queryset.filter(pk__in=ids), "Refresh now.")
    counts = refresh_connections(ids, forced=True, budget=PATIENCE, grace=PATIENCE)
    _tell(modeladmin, request, counts, {**REFRESHED, **LEFT_OVER})


@admin.action(description=gettext_lazy("Revoke and disconnect"), permissions=["operate"])
def revoke_and_disconnect(
    modeladmin: Any, request: HttpRequest, queryset: QuerySet[SalesforceConnection]
) -> TemplateResponse | None:
    """Asks whether it is meant, then forgets the tokens and revokes them at Salesforce."""
    ids = _few_enough(modeladmin, request, queryset)
    if ids and not request.POST.get("post"):
        return _confirmation(modeladmin, request, queryset)
    _log(request, queryset.filter(pk__in=ids), "Revoke and disconnect.")
    rows = SalesforceConnection.objects.filter(pk__in=ids)
    counts = Counter(gone=len(ids) - rows.connected().count())
    counts += revoke_connections(rows, actor=request.user, budget=PATIENCE)
    _tell(modeladmin, request, counts, {**REVOKED, **LEFT_OVER})
    return None


def _few_enough(modeladmin: Any, request: HttpRequest, queryset: QuerySet[SalesforceConnection]) -> list[int]:
    """Their primary keys; none, and a message, when more are selected than one request should do."""
    ids = list(queryset.values_list("pk", flat=True)[: MOST + 1])
    if len(ids) <= MOST:
        return ids
    message = _(
        "Select at most %(most)d connections here; the commands sf_oauth_refresh and sf_oauth_revoke take any."
    )
    modeladmin.message_user(request, message % {"most": MOST}, messages.ERROR)
    return []


def _confirmation(
    modeladmin: Any, request: HttpRequest, queryset: QuerySet[SalesforceConnection]
) -> TemplateResponse:
    connections = list(queryset)
    context = {
        **modeladmin.admin_site.each_context(request),
        "title": _("Revoke and disconnect"),
        "connections": connections,
        "opts": modeladmin.opts,
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
        "action": "revoke_and_disconnect",
        "media": modeladmin.media,
    }
    request.current_app = modeladmin.admin_site.name
    return TemplateResponse(request, "sf_oauth/admin/revoke_confirmation.html", context)


def _log(request: HttpRequest, rows: QuerySet[SalesforceConnection], message: str) -> None:
    LogEntry.objects.log_actions(str(request.user.pk), rows, CHANGE, change_message=message)


def _tell(
    modeladmin: Any, request: HttpRequest, counts: Mapping[str, int], words: Mapping[str, tuple[int, Any]]
) -> None:
    for ending, (level, text) in words.items():
        if counts.get(ending):
            modeladmin.message_user(request, text % {"count": counts[ending]}, level)
