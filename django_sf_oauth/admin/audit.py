"""The audit trail and the holds: to be read; a hold can be lifted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.forms import ModelForm
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_sf_oauth.models import ConnectionEvent, Hold
from django_sf_oauth.services.holding import scope_of, waiting

from .filters import AppFilter

if TYPE_CHECKING:
    EventModelAdmin = admin.ModelAdmin[ConnectionEvent]
    HoldModelAdmin = admin.ModelAdmin[Hold]
    HoldModelForm = ModelForm[Hold]
else:
    EventModelAdmin = HoldModelAdmin = admin.ModelAdmin
    HoldModelForm = ModelForm


@admin.register(ConnectionEvent)
class ConnectionEventAdmin(EventModelAdmin):
    """Append-only: nobody adds, changes or deletes an event here."""

    list_display = (
        *("created_at", "kind", "reason", "connection_link", "sequence_shown", "is_whole"),
        *("user_shown", "actor_shown", "organization_id", "app"),
    )
    list_display_links = ("created_at",)
    list_filter = ("kind", AppFilter)
    list_select_related = ("user", "actor")
    search_fields = ("username__istartswith", "organization_id__startswith")
    search_help_text = _("How a Salesforce username or an organization id begins.")
    show_full_result_count = False
    fields = (
        *("created_at", "kind", "reason", "connection_link", "connection_uuid", "sequence_shown", "is_whole"),
        *("user_shown", "actor_shown", "app", "organization_id", "salesforce_user_id", "username", "fingerprint"),
    )
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description=_("number"), ordering="sequence")
    def sequence_shown(self, event: ConnectionEvent) -> int | None:
        return event.sequence

    @admin.display(description=_("as written"), boolean=True)
    def is_whole(self, event: ConnectionEvent) -> bool:
        """Whether its MAC holds, reckoned for the rows of the page alone; unknown for one from before signing."""
        return event.holds()

    @admin.display(description=_("user"), ordering="user")
    def user_shown(self, event: ConnectionEvent) -> str:
        return _person(event.user, event.user_key)

    @admin.display(description=_("actor"), ordering="actor")
    def actor_shown(self, event: ConnectionEvent) -> str:
        return _person(event.actor, event.actor_key)

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


def _person(user: Any, key: str) -> str:
    """Somebody who was deleted is known by their primary key."""
    if user is None and key:
        return gettext("deleted: %(key)s") % {"key": key}
    return str(user or "")


# What a hold does, and what deleting it does, by the kind of its scope.
EFFECTS = {
    "all": _("No connection is used or refreshed. Delete it to let them go on."),
    "app": _("No connection of this app is used or refreshed. Delete it to let them go on."),
    "org": _("No connection to this organization is used or refreshed. Delete it to let them go on."),
    "host": _("Nobody refreshes at this host, but for one now and then to test it. Delete it to let them go on."),
    "fleet": _(
        "So many grants of this app died at once that no user is told to reconnect. "
        "Delete it to ask Salesforce for each of them again and believe the answer. If they are dead indeed, "
        "“sf_oauth_holds --release” tells those users in one go."
    ),
    "alarm": _("The operator has been told that Salesforce refuses this app. Delete it to be told again."),
    "digest": _("The digest of today has been sent. Delete it to have another one sent."),
}
BY_HAND = _("What an operator stops: all, app:alias or org:18-character id; or host:login.salesforce.com.")


def _kind(scope: str) -> str:
    return scope.partition(":")[0]


class HoldForm(HoldModelForm):
    def clean_scope(self) -> str:
        scope: str = self.cleaned_data["scope"]
        if _kind(scope) in {"fleet", "alarm", "digest"}:
            raise ValidationError(_("The package sets this one itself, when there is a reason for it."))
        if _kind(scope) == "host":
            return scope
        try:
            return scope_of(scope)
        except ValueError as error:
            raise ValidationError(str(error)) from None


@admin.register(Hold)
class HoldAdmin(HoldModelAdmin):
    """Adding one stops the use of its scope within seconds; deleting it lets it go on."""

    form = HoldForm
    list_display = ("scope", "reason", "set_by", "in_force", "until", "probe_at", "waiting", "created_at")
    search_fields = ("scope",)
    show_full_result_count = False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Hold, form: Any, change: bool) -> None:
        obj.set_by = request.user.get_username()
        super().save_model(request, obj, form, change)

    def get_fieldsets(self, request: HttpRequest, obj: Hold | None = None) -> Any:
        if obj is None:
            return [(None, {"fields": ("scope", "reason", "until"), "description": BY_HAND})]
        return [(None, {"fields": self.list_display, "description": EFFECTS[_kind(obj.scope)]})]

    @admin.display(description=_("in force"), boolean=True)
    def in_force(self, hold: Hold) -> bool:
        return hold.is_in_force(timezone.now())

    @admin.display(description=_("connections that wait"))
    def waiting(self, hold: Hold) -> int:
        return waiting(hold.scope)
