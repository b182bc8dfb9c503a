"""``request.salesforce`` and ``request.asalesforce()``."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from django_sf_oauth.aclient import AsyncClient
from django_sf_oauth.client import Client
from django_sf_oauth.decorators import salesforce_required
from django_sf_oauth.exceptions import NotConnected, ReconnectRequired
from django_sf_oauth.middleware import SalesforceMiddleware
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection, make_user


def passed(user: Any = None, **attributes: Any) -> Any:
    """A request after the middleware, which no view has touched."""
    request = RequestFactory().get("/")
    if user is not None:
        request.user = user
    SalesforceMiddleware(lambda request: HttpResponse())(request)
    return request


@pytest.mark.django_db
def test_it_asks_nothing_until_it_is_used(django_assert_num_queries: Any) -> None:
    user = make_connection(is_default=True).user

    with django_assert_num_queries(0):
        request = passed(user)
    with django_assert_num_queries(1):
        assert request.salesforce.connection.user_id == user.pk
        assert request.salesforce.headers
    assert isinstance(request.salesforce, Client)


@pytest.mark.django_db
def test_it_is_a_client_of_the_default_connection(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    make_connection(user=salesforce_connection.user)
    request = passed(salesforce_connection.user)

    answer = request.salesforce.get("query", params={"q": "SELECT Id FROM Account"})

    assert answer.json()["totalSize"] == 12


@pytest.mark.parametrize("user", [None, AnonymousUser()], ids=["no-auth-middleware", "anonymous"])
def test_an_anonymous_visitor_has_none_and_learns_it_on_use(user: Any) -> None:
    request = passed(user)

    with pytest.raises(NotConnected):
        request.salesforce.get("query")


@pytest.mark.django_db
def test_a_user_without_a_connection_learns_it_on_use() -> None:
    request = passed(make_user())

    with pytest.raises(NotConnected):
        request.salesforce.get("query")


@pytest.mark.django_db
def test_a_connection_that_died_says_how_to_get_it_back() -> None:
    connection = make_connection(is_default=True, status=SalesforceConnection.Status.RECONNECT_REQUIRED)
    request = passed(connection.user)

    with pytest.raises(ReconnectRequired) as caught:
        request.salesforce.get("query")

    assert caught.value.reconnect_url == f"/salesforce/{connection.uuid}/reconnect/"


@pytest.mark.django_db
def test_the_async_client_is_one_of_the_default_connection(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection, django_assert_num_queries: Any
) -> None:
    request = passed(salesforce_connection.user)

    async def call() -> Any:
        async with await request.asalesforce() as client:
            return await client.get("query", params={"q": "SELECT Id FROM Account"})

    answer = async_to_sync(call)()
    with django_assert_num_queries(0):
        again = async_to_sync(request.asalesforce)()

    assert answer.json()["totalSize"] == 12
    assert isinstance(again, AsyncClient)
    assert not again.is_closed


@pytest.mark.django_db
def test_the_async_client_is_that_of_the_user_whom_the_session_names() -> None:
    connection = make_connection(is_default=True)
    request = passed()

    async def auser() -> Any:
        return connection.user

    request.auser = auser

    assert async_to_sync(request.asalesforce)().connection == connection


@pytest.mark.parametrize("user", [None, AnonymousUser()], ids=["no-auth-middleware", "anonymous"])
def test_an_anonymous_visitor_has_no_async_client_and_learns_it_on_use(user: Any) -> None:
    request = passed(user)

    with pytest.raises(NotConnected):
        async_to_sync(request.asalesforce)()


@pytest.mark.django_db
def test_a_guarded_view_gets_an_async_client_of_the_connection_that_was_chosen() -> None:
    user = make_user()
    make_connection(user=user, is_default=True)
    chosen = make_connection(user=user, app="other")
    request = RequestFactory().get("/")
    request.user = user

    @salesforce_required(app="other")
    def view(request: Any) -> Any:
        return async_to_sync(request.asalesforce)().connection

    assert view(request) == chosen


def test_a_sync_site_gets_a_sync_middleware() -> None:
    response = HttpResponse()
    middleware = SalesforceMiddleware(lambda request: response)

    assert not iscoroutinefunction(middleware)
    assert middleware(RequestFactory().get("/")) is response


def test_an_async_site_gets_an_async_middleware_without_a_thread() -> None:
    response = HttpResponse()

    async def get_response(request: HttpRequest) -> HttpResponse:
        return response

    middleware = SalesforceMiddleware(get_response)
    coroutine = middleware(RequestFactory().get("/"))

    assert iscoroutinefunction(middleware)
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    assert ended.value.value is response
