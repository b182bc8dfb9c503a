"""Asking Salesforce whether it knows a connected app."""

from __future__ import annotations

from django_sf_oauth import transport
from django_sf_oauth.conf import AppSettings
from django_sf_oauth.exceptions import ConfigurationError
from django_sf_oauth.protocol.errors import Actor, Refusal

__all__ = ["trouble_with"]

MADE_UP = "not-a-refresh-token"


def trouble_with(app: AppSettings) -> str:
    """Asks the login host of an app for tokens with a refresh token that cannot exist.

    A client is authenticated before its grant is looked at (RFC 6749 section 3.2.1): a complaint about the grant
    means that id, secret and host are right.

    Returns:
        The reason why the app would not work now, or an empty string.
    """
    try:
        answer = transport.refresh(app, login_url=app.login_url, refresh_token=MADE_UP)
    except ConfigurationError as error:
        return error.code
    if isinstance(answer, Refusal) and answer.actor in {Actor.OPERATOR, Actor.NOBODY, Actor.CUSTOMER_ADMIN}:
        return answer.reason
    return ""
