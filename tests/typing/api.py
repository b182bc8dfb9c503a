"""The types that users see. mypy checks this file; it is never run."""

from __future__ import annotations

from datetime import datetime
from typing import Any, assert_type
from uuid import UUID

import environ
import httpx2
import requests.auth
from django.contrib.auth.models import AbstractBaseUser

from django_sf_oauth import aget_connection, get_connection
from django_sf_oauth.aclient import AsyncClient
from django_sf_oauth.client import Client
from django_sf_oauth.conf import from_env, get_app
from django_sf_oauth.exceptions import (
    MissingScopes,
    ReconnectRequired,
    SalesforceOAuthError,
    TemporarilyUnavailable,
)
from django_sf_oauth.fields import Sealed
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.testing import FakeSalesforce


def connections(user: AbstractBaseUser) -> None:
    assert_type(get_connection(user), SalesforceConnection)
    assert_type(get_connection(user, org_id="00D", app="default", scopes=["api"]), SalesforceConnection)
    assert_type(SalesforceConnection.objects.for_user(user).active().get(), SalesforceConnection)


async def connections_async(user: AbstractBaseUser) -> None:
    assert_type(await aget_connection(user, org_id="00D"), SalesforceConnection)


def calls(connection: SalesforceConnection) -> None:
    assert_type(connection.client(), Client)
    assert_type(connection.client().get("query", params={"q": ""}), requests.Response)
    assert_type(connection.auth(), requests.auth.AuthBase)
    assert_type(connection.valid_access_token(), str)
    assert_type(connection.disconnect(), bool)
    connection.refresh()


async def calls_async(connection: SalesforceConnection) -> None:
    async with connection.async_client() as client:
        assert_type(client, AsyncClient)
        assert_type(await client.get("query", params={"q": ""}), httpx2.Response)


def columns(connection: SalesforceConnection) -> None:
    assert_type(connection.uuid, UUID)
    assert_type(connection.username, str)
    assert_type(connection.status, str)
    assert_type(connection.generation, int)
    assert_type(connection.is_default, bool | None)
    assert_type(connection.expires_at, datetime | None)
    assert_type(connection.access_token, Sealed | None)
    assert_type(connection.reconnect_url, str)
    connection.access_token = "assigned as plain text"
    if connection.refresh_token is not None:
        assert_type(connection.refresh_token.reveal(), str)


def errors(
    error: SalesforceOAuthError, later: TemporarilyUnavailable, dead: ReconnectRequired, scopes: MissingScopes
) -> None:
    assert_type(error.code, str)
    assert_type(error.retryable, bool)
    assert_type(error.user_message, str)
    assert_type(error.connection_id, UUID | None)
    assert_type(later.retry_after, float | None)
    assert_type(dead.reconnect_url, str)
    assert_type(scopes.missing, tuple[str, ...])


def settings(env: environ.Env) -> None:
    assert_type(from_env(env), dict[str, Any])
    assert_type(get_app().scopes, tuple[str, ...])
    assert_type(get_app().client_secrets, tuple[str, ...])


def fake() -> None:
    with FakeSalesforce(rotation=True).active() as salesforce:
        assert_type(salesforce, FakeSalesforce)
        assert_type(salesforce.token_requests, int)
