"""The audit trail and the holds: to be read; a hold can be lifted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from django_sf_oauth.models import ConnectionEvent, Hold

from .filters import AppFilter

if TYPE_CHECKING:
    EventModelAdmin = admin.ModelAdmin[ConnectionEvent]
    HoldModelAdmin = admin.ModelAdmin[Hold]
else:
    EventModelAdmin = HoldModelAdmin = admin.ModelAdmin


@admin.register(ConnectionEvent)
class ConnectionEventAdmin(EventModelAdmin):
    """Append-only: nobody adds, changes or deletes an event here."""

    list_display = ("created_at", "kind", "reason", "connection_link", "user", "actor", "organization_id", "app")
    list_display_links = ("created_at",)
    list_filter = ("kind", AppFilter)
    list_select_related = ("user", "actor")
    search_fields = ("username__istartswith", "organization_id__startswith")
    search_help_text = _("How a Salesforce username or an organization id begins.")
    show_full_result_count = False
    fields = (
        *("created_at", "kind", "reason", "connection_link", "connection_uuid", "user", "actor"),
        *("app", "organization_id", "salesforce_user_id", "username"),
    )
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description=_("connection"))
    def connection_link(self, event: ConnectionEvent) -> str:
        """The connection, as long as it exists."""
        name = event.username or event.connection_uuid
        if event.connection_id is None:
            return str(name or "")
        url = reverse(
            f"{self.admin_site.name}:django_sf_oauth_salesforceconnection_change", args=[event.connection_id]
        )
        return format_html('<a href="{}">{}</a>', url, name)


@admin.register(Hold)
class HoldAdmin(HoldModelAdmin):
    """Adding one holds back the token requests of its scope at once; deleting it lets them go on."""

    list_display = ("scope", "reason", "until", "created_at")
    search_fields = ("scope",)
    show_full_result_count = False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
