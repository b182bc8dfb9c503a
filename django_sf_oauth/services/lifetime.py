"""How long a session lives, as Salesforce says: asked once, when a connection is made."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from django_sf_oauth import transport
from django_sf_oauth.conf import AppSettings
from django_sf_oauth.exceptions import SalesforceOAuthError
from django_sf_oauth.grants.due import LONGEST, SHORTEST
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.models.lifetime import due_at

__all__ = ["ask_lifetime"]

PATIENCE = 5.0  # seconds: somebody is waiting for the page

logger = logging.getLogger(__name__)


def ask_lifetime(connection: SalesforceConnection, app: AppSettings) -> None:
    """Introspects the access token; whatever goes wrong, `SESSION_LIFETIME` stays the guess.

    It does not ask for a token that says itself when it ends.
    """
    life = _told(connection, app) if app.introspect and connection.slides else None
    if life is None or connection.last_refreshed_at is None:
        return
    connection.told_lifetime = life
    connection.expires_at = connection.last_refreshed_at + life
    values = {
        "told_lifetime": life,
        "expires_at": connection.expires_at,
        "next_refresh_at": due_at(connection, app, now=timezone.now()),
    }
    rows = SalesforceConnection.objects.filter(pk=connection.pk, generation=connection.generation)
    rows.update(**values)
    connection.refresh_from_db(fields=list(values))


@sensitive_variables()
def _told(connection: SalesforceConnection, app: AppSettings) -> timedelta | None:
    try:
        answer = transport.introspect(
            app.within(PATIENCE),
            login_url=connection.login_url,
            token=connection.bearer(),
            token_type_hint="access_token",  # noqa: S106  # the kind of token
        )
    except SalesforceOAuthError as error:
        return _unanswered(error.code)
    if not isinstance(answer, transport.Introspection):
        return _unanswered(answer.reason)
    if not (answer.active and answer.exp and answer.iat):
        return _unanswered("no_times")
    life = timedelta(seconds=answer.exp - answer.iat)
    # What is no session timeout is not the answer to this question.
    return life if SHORTEST <= life <= LONGEST else _unanswered("no_timeout")


def _unanswered(reason: str) -> timedelta | None:
    logger.info("question=introspect unanswered reason=%s", reason)
    return None
