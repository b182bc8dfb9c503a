"""``{% load salesforce %}``: the button, the status and the banner for a site's own pages."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import RequestContext
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.services.advice import Advice, Tone, advise

__all__ = ["register"]

register = template.Library()

Status = SalesforceConnection.Status


@register.inclusion_tag("sf_oauth/tags/connect_button.html", takes_context=True)
def salesforce_connect_button(
    context: RequestContext,
    app: str = "",
    login_host: str = "",
    next: str = "",  # noqa: A002  # as the parameter of the form
    label: str = "",
) -> dict[str, Any]:
    """A form with one button that starts to connect.

    Args:
        app: alias of a connected app; empty is the first.
        login_host: such as ``test.salesforce.com``; empty is where the app says.
        next: where on this site to go afterwards; empty is the page that holds the button.
        label: of the button.
    """
    return {
        "app": app,
        "login_host": login_host,
        "next": next or _this_page(context),
        "label": label or _("Connect Salesforce"),
        "csrf_token": context.get("csrf_token"),
    }


@register.simple_tag
def salesforce_status(connection: SalesforceConnection | None) -> SafeString:
    """The state of a connection in one or two words; None is not connected."""
    advice = advise(connection) if connection else None
    return format_html(
        '<span class="sf-oauth-status sf-oauth-status-{}">{}</span>',
        advice.tone.value if advice else Tone.OFF.value,
        advice.label if advice else _("Not connected"),
    )


@register.inclusion_tag("sf_oauth/tags/reconnect_banner.html", takes_context=True)
def salesforce_reconnect_banner(context: RequestContext) -> dict[str, Any]:
    """Says which of the user's connections have to be connected again; nothing if none has to."""
    return {
        "waiting": [one for one in _advised(_waiting(context)) if one[1].button],
        "next": _this_page(context),
        "csrf_token": context.get("csrf_token"),
    }


def _advised(connections: list[SalesforceConnection]) -> list[tuple[SalesforceConnection, Advice]]:
    return [(connection, advise(connection)) for connection in connections]


def _waiting(context: RequestContext) -> list[SalesforceConnection]:
    user = context.get("user") or getattr(context.get("request"), "user", None)
    if not getattr(user, "is_authenticated", False):
        return []
    connections = SalesforceConnection.objects.for_user(user)
    return list(connections.filter(status=Status.RECONNECT_REQUIRED).order_by("pk"))


def _this_page(context: RequestContext) -> str:
    request = context.get("request")
    return request.get_full_path() if request is not None and request.method == "GET" else ""
