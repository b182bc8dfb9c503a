"""Whether a user wants to be told by mail."""

from __future__ import annotations

from typing import Any

from django_sf_oauth.conf import get_apps
from django_sf_oauth.models import MailOptOut

from .mail_links import page_url
from .mails import address_of

__all__ = ["is_told", "may_be_told", "set_told", "tellable_apps"]


def tellable_apps() -> list[str]:
    """Aliases of the apps whose users can be told: mails are on, and links to this site can be made."""
    return [app.alias for app in get_apps().values() if app.notify_users and page_url(app, "connections")]


def may_be_told(user: Any) -> bool:
    """Whether this site could send mails to the user."""
    return bool(address_of(user) and tellable_apps())


def is_told(user: Any) -> bool:
    """Whether the user has not switched mails off."""
    return not MailOptOut.objects.filter(user=user).exists()


def set_told(user: Any, told: bool) -> None:
    """Switches the mails to a user on or off; saying it twice changes nothing."""
    if told:
        MailOptOut.objects.filter(user=user).delete()
    else:
        MailOptOut.objects.get_or_create(user=user)
