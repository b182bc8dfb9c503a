"""Fits a fake to the project's own settings and models."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model

from django_sf_oauth.conf import get_apps
from django_sf_oauth.exceptions import ConfigurationError
from django_sf_oauth.protocol.hosts import origin_of

from .controls import SCOPES
from .fake import FakeSalesforce

if TYPE_CHECKING:
    from django_sf_oauth.models import SalesforceConnection

DEFAULT_APP = "default"


def fake_from_settings() -> FakeSalesforce:
    """A fake that knows each connected app of ``SALESFORCE_OAUTH``, whatever callback URL the tests use.

    Raises:
        ConfigurationError: the settings cannot be read, or name no app.
    """
    apps = list(get_apps().values())
    if not apps:
        raise ConfigurationError("SALESFORCE_OAUTH names no connected app.", code="no_client_id")
    default, *others = apps
    fake = FakeSalesforce(
        client_id=default.client_id, client_secret=default.client_secrets or None, scopes=_scopes(default.scopes)
    )
    for app in others:
        fake.add_app(app.client_id, app.client_secrets or None, scopes=_scopes(app.scopes))
    return fake


def fake_in_process() -> FakeSalesforce:
    """As `fake_from_settings`, for the length of a test.

    Settings whose ``LOGIN_URL`` is plain http, for all apps the same, are those of development, with a fake that
    is served on this machine: then it answers there instead, and nowhere else.
    """
    fake = fake_from_settings()
    origins = {origin_of(app.login_url) or "" for app in get_apps().values()}
    if len(origins) == 1 and (origin := origins.pop()).startswith("http://"):
        fake.world.origin = origin
    return fake


def _scopes(wanted: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys((*wanted, *SCOPES)))


def connect(fake: FakeSalesforce, *, user: Any = None) -> SalesforceConnection:
    """Stores an active connection, as if the user had just connected: the default app, the fake's first user.

    Args:
        user: an instance of the project's user model; a new one if not given.
    """
    from django_sf_oauth.models import SalesforceConnection

    app = get_apps()[DEFAULT_APP]
    answer = fake.issue(scopes=app.scopes)
    return SalesforceConnection.objects.create(
        user=user or _new_user(),
        app=app.alias,
        organization_id=fake.org.id,
        salesforce_user_id=fake.user.id,
        username=fake.user.username,
        organization_name=fake.org.name,
        instance_url=answer["instance_url"],
        login_url=fake.world.base_url(fake.org.shared_login_host),
        scopes=list(app.scopes),
        access_token=answer["access_token"],
        refresh_token=answer["refresh_token"],
        is_default=True,
    )


def _new_user() -> Any:
    """A user with a unique name, of whatever user model the project has."""
    model = get_user_model()
    name: dict[str, str] = {str(model.USERNAME_FIELD): f"salesforce-{uuid.uuid4().hex[:12]}@example.com"}
    user = model(**name)
    user.set_unusable_password()
    user.save()
    return user
