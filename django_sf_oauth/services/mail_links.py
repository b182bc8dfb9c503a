"""Links in mails: whole URLs, made without a request."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.signing import BadSignature, Signer
from django.urls import NoReverseMatch, reverse

from django_sf_oauth.conf import AppSettings
from django_sf_oauth.models import SalesforceConnection

__all__ = ["connection_url", "page_url", "unsubscribe_url", "user_of"]

# Of its own, so that the signature is good for nothing else, and no other one is good for this.
SALT = "django_sf_oauth.unsubscribe"


def page_url(app: AppSettings, name: str, *args: Any) -> str:
    """The whole URL of a page of the package; empty without `SITE_URL`, or where its URLs are not included."""
    try:
        path = reverse(f"sf_oauth:{name}", args=args)
    except NoReverseMatch:
        return ""
    return f"{app.site_url}{path}" if app.site_url else ""


def connection_url(app: AppSettings, connection: SalesforceConnection) -> str:
    """Where the button is that connects it again: the page of connections, at its card."""
    return f"{page_url(app, 'connections')}#connection-{connection.uuid}"


def unsubscribe_url(app: AppSettings, user: Any) -> str:
    """Ends the mails to this user without a login. It stays good, as mails are kept for long."""
    return page_url(app, "unsubscribe", Signer(salt=SALT).sign_object(str(user.pk)))


def user_of(token: str) -> Any:
    """The user whom an unsubscribe link was made for, or None."""
    try:
        key = Signer(salt=SALT).unsign_object(token)
    except BadSignature:
        return None
    return get_user_model()._default_manager.filter(pk=key).first()
