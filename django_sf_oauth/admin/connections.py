"""The connections in the admin: to be read and operated, not edited."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_sf_oauth.models import ConnectionEvent, SalesforceConnection

from .actions import refresh_now, revoke_and_disconnect
from .filters import AppFilter, search_condition

if TYPE_CHECKING:
    ConnectionModelAdmin = admin.ModelAdmin[SalesforceConnection]
    EventInline = admin.TabularInline[ConnectionEvent, SalesforceConnection]
    EventFormSet = BaseInlineFormSet[ConnectionEvent, SalesforceConnection, Any]
else:
    ConnectionModelAdmin = admin.ModelAdmin
    EventInline = admin.TabularInline
    EventFormSet = BaseInlineFormSet

LATEST = 20  # events on a connection's page

Status = SalesforceConnection.Status
WHO_ACTS = {
    Status.ACTIVE: _("Nobody has to act."),
    Status.RECONNECT_REQUIRED: _("The user has to connect again. The tokens are kept until then."),
    Status.BLOCKED: _("The customer's Salesforce admin has to act. The tokens are kept."),
    Status.DISCONNECTED: _("Given up. The tokens are gone."),
}
WITHHELD = _(
    "The site's operator has to act: so many grants of this app died at once that no user is told to reconnect."
)


class LatestEvents(EventFormSet):
    """The newest events of a connection, read once."""

    def get_queryset(self) -> QuerySet[ConnectionEvent]:
        if not hasattr(self, "_latest"):
            self._latest = super().get_queryset()[:LATEST]
        return self._latest


class ConnectionEventInline(EventInline):
    model = ConnectionEvent
    formset = LatestEvents
    fk_name = "connection"
    fields = readonly_fields = ("created_at", "kind", "reason", "actor")
    verbose_name_plural = _("latest events")
    extra = 0
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConnectionEvent]:
        return super().get_queryset(request).select_related("actor")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(SalesforceConnection)
class SalesforceConnectionAdmin(ConnectionModelAdmin):
    """Whoever may *change* connections may refresh and revoke them; nobody edits one."""

    list_display = (
        *("user_shown", "status_shown", "organization", "username_shown"),
        *("used", "refreshed", "refreshes_next"),
    )
    list_filter = ("status", AppFilter, "is_sandbox")
    list_select_related = ("user",)
    ordering = ("-pk",)
    search_fields = ("username", "organization_id")  # shows the box: get_search_results() does the work
    search_help_text = _("How a user's name or e-mail, a Salesforce username or an organization id begins.")
    show_full_result_count = False
    actions = (refresh_now, revoke_and_disconnect)
    inlines = (ConnectionEventInline,)
    fieldsets = (
        (None, {"fields": ("user", ("status_shown", "who_acts"), ("default_shown", "all_events"))}),
        (
            _("At Salesforce"),
            {
                "fields": (
                    ("organization_name", "organization_id", "is_sandbox"),
                    ("username", "salesforce_user_id"),
                    ("instance_url", "login_url"),
                    ("app", "scopes_shown"),
                )
            },
        ),
        (
            _("Tokens"),
            {
                "fields": (
                    ("access_token_shown", "refresh_token_shown"),
                    ("issued_at", "expires_at", "generation"),
                )
            },
        ),
        (
            _("Life"),
            {
                "fields": (
                    ("connected_at", "last_used_at", "last_refreshed_at"),
                    ("next_refresh_at", "failure_count", "retry_at"),
                    ("told_lifetime", "learned_lifetime"),
                    "uuid",
                )
            },
        ),
    )
    readonly_fields = flatten_fieldsets(fieldsets)

    class Media:
        css = {"all": ("sf_oauth/admin.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return super().has_change_permission(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[SalesforceConnection]:
        return super().get_queryset(request).defer("access_token", "refresh_token")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[SalesforceConnection], search_term: str
    ) -> tuple[QuerySet[SalesforceConnection], bool]:
        text = search_term.strip()
        return (queryset.filter(search_condition(text)) if text else queryset), False

    @admin.display(description=_("user"), ordering="user")
    def user_shown(self, row: SalesforceConnection) -> str:
        return _with_note(row.user, gettext("default connection") if row.is_default else "")

    @admin.display(description=_("Salesforce username"), ordering="username")
    def username_shown(self, row: SalesforceConnection) -> str:
        return _with_note(row.username, gettext("app %(alias)s") % {"alias": row.app})

    @admin.display(description=_("organization"), ordering="organization_name")
    def organization(self, row: SalesforceConnection) -> str:
        kind = gettext("sandbox") if row.is_sandbox else ""
        return _with_note(row.organization_name, f"{row.organization_id} {kind}")

    @admin.display(description=_("status"), ordering="status")
    def status_shown(self, row: SalesforceConnection) -> str:
        pill = '<span class="sf-oauth-status sf-oauth-status-{}">{}</span>'
        note = gettext("%(reason)s, withheld") % {"reason": row.withheld} if row.withheld else row.reason
        return _with_note(format_html(pill, row.status, row.get_status_display()), note.replace("_", " "))

    @admin.display(description=_("who has to act"))
    def who_acts(self, row: SalesforceConnection) -> str:
        return str(WITHHELD if row.withheld else WHO_ACTS[Status(row.status)])

    @admin.display(description=_("default"), boolean=True)
    def default_shown(self, row: SalesforceConnection) -> bool:
        return bool(row.is_default)

    @admin.display(description=_("last used"), ordering="last_used_at")
    def used(self, row: SalesforceConnection) -> str:
        return _from_now(row.last_used_at)

    @admin.display(description=_("last refreshed"), ordering="last_refreshed_at")
    def refreshed(self, row: SalesforceConnection) -> str:
        return _from_now(row.last_refreshed_at)

    @admin.display(description=_("next refresh"), ordering="next_refresh_at")
    def refreshes_next(self, row: SalesforceConnection) -> str:
        return _from_now(row.next_refresh_at)

    @admin.display(description=_("scopes"))
    def scopes_shown(self, row: SalesforceConnection) -> str:
        return " ".join(row.scopes)

    @admin.display(description=_("access token"))
    def access_token_shown(self, row: SalesforceConnection) -> str:
        return _stored_or_none(row.access_token)

    @admin.display(description=_("refresh token"))
    def refresh_token_shown(self, row: SalesforceConnection) -> str:
        return _stored_or_none(row.refresh_token)

    @admin.display(description=_("history"))
    def all_events(self, row: SalesforceConnection) -> str:
        url = reverse(f"{self.admin_site.name}:django_sf_oauth_connectionevent_changelist")
        return format_html('<a href="{}?connection_uuid={}">{}</a>', url, row.uuid, gettext("All events"))


def _with_note(text: object, note: str) -> str:
    return format_html('{} <span class="sf-oauth-quiet">{}</span>', text, note)


def _stored_or_none(token: object) -> str:
    return gettext("none") if token is None else gettext("stored")


def _from_now(moment: datetime | None) -> str:
    """How long ago or ahead, with the exact time for whoever points at it."""
    if moment is None:
        return "-"
    ahead = moment > timezone.now()
    text = gettext("in %(time)s") if ahead else gettext("%(time)s ago")
    distance = timeuntil(moment, depth=1) if ahead else timesince(moment, depth=1)
    return format_html(
        '<span title="{}">{}</span>', date_format(_local(moment), "DATETIME_FORMAT"), text % {"time": distance}
    )


def _local(moment: datetime) -> datetime:
    return timezone.localtime(moment) if timezone.is_aware(moment) else moment
