"""The state of a connection in plain words: what it needs, and the one button for that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from django_sf_oauth.conf import get_apps
from django_sf_oauth.exceptions import TokenUnreadable
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.models.kill_switch import kill_switch
from django_sf_oauth.protocol.hosts import host_of
from django_sf_oauth.protocol.tokens import missing_scopes

from .failures import FAILURES

__all__ = ["Advice", "Tone", "advise", "title_of"]

Text = str | Promise


class Tone(StrEnum):
    """How it is shown."""

    GOOD = "good"
    ACT = "act"
    BLOCKED = "blocked"
    OFF = "off"


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """What to tell the user of a connection.

    Attributes:
        label: one or two words.
        text: what happened and who can mend it; empty when there is nothing to say.
        button: what the button that connects it again says; empty when there is none.
    """

    tone: Tone
    label: Text
    text: Text = ""
    button: Text = ""


RECONNECT: Mapping[str, Text] = {
    "revoked": _("Salesforce no longer accepts this connection: it was revoked there, or has expired."),
    "token_expired": _("Your organization lets connections live for a limited time, and this one has ended."),
    "approval_gone": _("The permission that you once gave is no longer there."),
    "org_gone": _(
        "Salesforce no longer knows this organization. A sandbox that was refreshed has to be connected anew."
    ),
    "rotation_lost": _("An answer of Salesforce got lost on the way, and with it the key to this connection."),
    "unreadable": _("This site can no longer read the stored key to this connection."),
}
ANY_REASON = _("Salesforce no longer accepts this connection.")
STOPPED = _(
    "The people who run this site have stopped its use of Salesforce for now. "
    "There is nothing that you have to do."
)
NOT_YOUR_FAULT = _(
    "Salesforce refuses many connections of this site at once, so this is hardly about yours. "
    "Whoever runs the site has been told; there is nothing that you have to do."
)


def advise(connection: SalesforceConnection) -> Advice:
    """The words for a connection's status and reason, or that an operator has stopped its use."""
    if connection.status != Status.DISCONNECTED and _is_stopped(connection):
        return Advice(tone=Tone.BLOCKED, label=_("Switched off"), text=STOPPED)
    match connection.status:
        case Status.RECONNECT_REQUIRED:
            return _reconnect(connection.reason)
        case Status.BLOCKED:
            return _blocked(connection.reason)
        case Status.DISCONNECTED:
            text = _("This site has forgotten its access.")
            button = "" if _is_stopped(connection) else _("Connect again")
            return Advice(tone=Tone.OFF, label=_("Disconnected"), text=text, button=button)
        case _:
            return _active(connection)


def _is_stopped(connection: SalesforceConnection) -> bool:
    return kill_switch.is_stopped(app=connection.app, org=connection.organization_id)


def title_of(connection: SalesforceConnection) -> str:
    """What a person calls it: the organization's name, else its host, else its id."""
    return connection.organization_name or host_of(connection.instance_url) or connection.organization_id


def _reconnect(reason: str) -> Advice:
    text = RECONNECT.get(reason, ANY_REASON)
    return Advice(tone=Tone.ACT, label=_("Reconnect needed"), text=text, button=_("Reconnect"))


def _blocked(reason: str) -> Advice:
    # The words of a failed attempt fit: the same admin has to do the same thing.
    failure = FAILURES.get(reason)
    text = (
        f"{failure.happened} {failure.mend}"
        if failure
        else gettext("Salesforce does not let this connection in. Your Salesforce administrator can mend it.")
    )
    return Advice(tone=Tone.BLOCKED, label=_("Blocked in Salesforce"), text=text, button=_("Try again"))


def _active(connection: SalesforceConnection) -> Advice:
    if connection.withheld:
        return Advice(tone=Tone.BLOCKED, label=_("Interrupted"), text=NOT_YOUR_FAULT)
    if not _is_readable(connection):
        return _reconnect("unreadable")  # its next refresh will find that out
    app = get_apps().get(connection.app)
    missing = missing_scopes(connection.scopes, app.scopes) if app else ()
    if missing:
        text = gettext("This site now needs a permission that you have not given yet: %(scopes)s.")
        return Advice(
            tone=Tone.ACT,
            label=_("Permission needed"),
            text=text % {"scopes": ", ".join(missing)},
            button=_("Reconnect"),
        )
    return Advice(tone=Tone.GOOD, label=_("Connected"))


@sensitive_variables()
def _is_readable(connection: SalesforceConnection) -> bool:
    try:
        for token in filter(None, (connection.access_token, connection.refresh_token)):
            token.reveal()
    except TokenUnreadable:
        return False
    return True
