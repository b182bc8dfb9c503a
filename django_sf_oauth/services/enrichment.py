"""Names for people: whom and which org a new connection is about. It is right without them, too."""

from __future__ import annotations

import logging
from typing import Any

import requests
from django.views.decorators.debug import sensitive_variables

from django_sf_oauth import transport
from django_sf_oauth.conf import AppSettings
from django_sf_oauth.exceptions import SalesforceOAuthError
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.protocol.tokens import missing_scopes

__all__ = ["enrich"]

PATIENCE = 5.0  # seconds for each question: somebody is waiting for the page
LONGEST_NAME = 255

logger = logging.getLogger(__name__)


def enrich(connection: SalesforceConnection, app: AppSettings) -> None:
    """Asks for the username and for the org's name and kind; whatever goes wrong, the connection stands."""
    found = {**_username(connection, app), **_organization(connection)}
    if found:
        SalesforceConnection.objects.filter(pk=connection.pk).update(**found)
        connection.refresh_from_db(fields=list(found))


@sensitive_variables()
def _username(connection: SalesforceConnection, app: AppSettings) -> dict[str, Any]:
    try:
        answer = transport.userinfo(
            app.within(PATIENCE), login_url=connection.login_url, access_token=connection.bearer()
        )
    except SalesforceOAuthError as error:
        return _nothing("userinfo", error.code)
    if not isinstance(answer, transport.Userinfo):
        return _nothing("userinfo", answer.reason)
    whose = (answer.organization_id, answer.user_id)
    if whose != (connection.organization_id, connection.salesforce_user_id):
        return _nothing("userinfo", "other_identity")
    return {"username": answer.username[:LONGEST_NAME]}


def _organization(connection: SalesforceConnection) -> dict[str, Any]:
    if missing_scopes(connection.scopes, ["api"]):
        return {}
    query = {"q": "SELECT Name, IsSandbox FROM Organization LIMIT 1"}
    try:
        answer = connection.client().get("query", params=query, timeout=PATIENCE)
        answer.raise_for_status()
        [row] = answer.json()["records"]
        return {"organization_name": row["Name"][:LONGEST_NAME], "is_sandbox": row["IsSandbox"] is True}
    except (requests.RequestException, SalesforceOAuthError, ValueError, TypeError, KeyError) as error:
        return _nothing("organization", type(error).__name__)


def _nothing(question: str, reason: str) -> dict[str, Any]:
    logger.info("question=%s unanswered reason=%s", question, reason)
    return {}
