"""``@salesforce_required`` and `SalesforceRequiredMixin`: the same answers from both, sync and async."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages import get_messages
from django.contrib.messages.storage.cookie import CookieStorage
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.views import View

from django_sf_oauth.decorators import salesforce_required
from django_sf_oauth.exceptions import (
    AccessBlocked,
    MissingScopes,
    NotConnected,
    ReconnectRequired,
    SalesforceOAuthError,
    TemporarilyUnavailable,
    TokenUnreadable,
)
from django_sf_oauth.mixins import SalesforceRequiredMixin
from django_sf_oauth.models import Hold, SalesforceConnection
from tests.factories import make_connection, make_user

pytestmark = pytest.mark.django_db

Status = SalesforceConnection.Status
Body = Callable[[], HttpResponse]
Guarded = Callable[..., Any]


def decorated(body: Body, scopes: Sequence[str], app: str | None) -> Guarded:
    @salesforce_required(scopes=scopes, app=app)
    def view(request: HttpRequest) -> HttpResponse:
        return body()

    return view


def decorated_async(body: Body, scopes: Sequence[str], app: str | None) -> Guarded:
    @salesforce_required(scopes=scopes, app=app)
    async def view(request: HttpRequest) -> HttpResponse:
        return body()

    return async_to_sync(view)


def mixed_in(body: Body, scopes: Sequence[str], app: str | None) -> Guarded:
    class Page(SalesforceRequiredMixin, View):
        salesforce_scopes = scopes
        salesforce_app = app

        def get(self, request: HttpRequest) -> HttpResponse:
            return body()

        post = get

    return Page.as_view()


def mixed_in_async(body: Body, scopes: Sequence[str], app: str | None) -> Guarded:
    class Page(SalesforceRequiredMixin, View):
        salesforce_scopes = scopes
        salesforce_app = app

        async def get(self, request: HttpRequest) -> HttpResponse:
            return body()

        post = get

    view: Any = Page.as_view()
    return async_to_sync(view)


@pytest.fixture(params=[decorated, decorated_async, mixed_in, mixed_in_async], ids=lambda guard: guard.__name__)
def ask(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Asks a guarded view as a user."""

    def ask(
        user: Any,
        *,
        raises: SalesforceOAuthError | None = None,
        scopes: Sequence[str] = (),
        app: str | None = None,
        method: str = "get",
        **headers: str,
    ) -> Any:
        def body() -> HttpResponse:
            if raises is not None:
                raise raises
            return HttpResponse("welcome")

        asked: Any = getattr(RequestFactory(), method)("/accounts/?page=2", headers=headers)
        asked.user = user
        asked._messages = CookieStorage(asked)

        async def auser() -> Any:
            return user

        asked.auser = auser
        response = request.param(body, scopes, app)(asked)
        response.used = getattr(asked, "salesforce", None)
        response.told = [str(message) for message in get_messages(asked)]
        return response

    return ask


def in_json(response: Any) -> dict[str, Any]:
    assert response.status_code == 403
    described: dict[str, Any] = json.loads(response.content)
    return described


JSON = {"accept": "application/json"}


def test_a_working_connection_lets_the_view_run(ask: Callable[..., Any]) -> None:
    response = ask(make_connection(is_default=True).user)

    assert response.content == b"welcome"
    assert response.told == []


def test_an_anonymous_visitor_is_sent_to_the_login_page(ask: Callable[..., Any]) -> None:
    response = ask(AnonymousUser())

    assert response.url == "/login/?next=/accounts/%3Fpage%3D2"


def test_a_person_without_a_connection_is_sent_to_connect_and_back(ask: Callable[..., Any]) -> None:
    response = ask(make_user())

    assert (response.status_code, response.url) == (302, "/salesforce/?next=%2Faccounts%2F%3Fpage%3D2")
    assert response.told == ["You have not connected Salesforce yet."]


def test_a_form_that_was_posted_is_no_place_to_come_back_to(ask: Callable[..., Any]) -> None:
    assert ask(make_user(), method="post").url == "/salesforce/"


def test_a_program_without_a_connection_is_told_in_json(ask: Callable[..., Any]) -> None:
    response = ask(make_user(), **JSON)

    assert in_json(response) == {
        "code": "not_connected",
        "message": "You have not connected Salesforce yet.",
        "reconnect_url": "/salesforce/",
    }
    assert response.told == []


@pytest.mark.parametrize("accept", ["text/html,application/json", "*/*", "text/html,*/*;q=0.8", ""])
def test_a_browser_is_not_taken_for_a_program(ask: Callable[..., Any], accept: str) -> None:
    assert ask(make_user(), accept=accept).status_code == 302


def test_a_dead_connection_names_its_own_way_back(ask: Callable[..., Any]) -> None:
    connection = make_connection(is_default=True, status=Status.RECONNECT_REQUIRED, reason="revoked")

    page, answer = ask(connection.user), ask(connection.user, **JSON)

    assert page.url.startswith("/salesforce/?next=")
    assert in_json(answer)["code"] == "revoked"
    assert in_json(answer)["reconnect_url"] == f"/salesforce/{connection.uuid}/reconnect/"


def test_a_blocked_connection_is_refused_too(ask: Callable[..., Any]) -> None:
    connection = make_connection(is_default=True, status=Status.BLOCKED, reason="app_blocked")

    assert in_json(ask(connection.user, **JSON))["code"] == "app_blocked"


def test_a_missing_scope_is_named(ask: Callable[..., Any]) -> None:
    user = make_connection(is_default=True, scopes=["api", "refresh_token"]).user

    page, answer = ask(user, scopes=["api", "web"]), ask(user, scopes=["api", "web"], **JSON)

    assert page.url.startswith("/salesforce/?next=")
    assert in_json(answer)["code"] == "missing_scopes"
    assert in_json(answer)["missing"] == ["web"]


def test_a_user_without_any_connection_misses_no_scope(ask: Callable[..., Any]) -> None:
    assert in_json(ask(make_user(), scopes=["web"], **JSON))["code"] == "not_connected"


def test_another_connection_with_the_scope_will_do(ask: Callable[..., Any]) -> None:
    user = make_connection(is_default=True, scopes=["api"]).user
    make_connection(user=user, scopes=["api", "web"])

    assert ask(user, scopes=["web"]).content == b"welcome"


@pytest.mark.parametrize(
    "need", [{"scopes": ["web"]}, {"app": "other"}, {}], ids=["by-scope", "by-app", "by-default"]
)
def test_the_view_works_with_the_connection_that_was_checked(
    ask: Callable[..., Any], need: dict[str, Any], django_assert_num_queries: Any
) -> None:
    default = make_connection(is_default=True, scopes=["api"])
    other = make_connection(user=default.user, app="other", scopes=["api", "web"])

    with django_assert_num_queries(1):
        response = ask(default.user, **need)
        used = response.used.connection

    assert used == (other if need else default)


def test_an_unreadable_connection_is_refused_with_a_way_back(ask: Callable[..., Any]) -> None:
    connection = make_connection(is_default=True, status=Status.RECONNECT_REQUIRED, reason="unreadable")

    page, answer = ask(connection.user), ask(connection.user, **JSON)

    assert page.url.startswith("/salesforce/?next=")
    assert in_json(answer)["code"] == "unreadable"
    assert in_json(answer)["reconnect_url"].startswith("/salesforce/")


def test_another_app_is_not_meant(ask: Callable[..., Any]) -> None:
    user = make_connection(is_default=True).user

    refused = ask(user, app="other", **JSON)
    make_connection(user=user, app="other")

    assert in_json(refused)["code"] == "not_connected"
    assert ask(user, app="other").content == b"welcome"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotConnected(), "not_connected"),
        (ReconnectRequired(code="revoked", reconnect_url="/again/"), "revoked"),
        (AccessBlocked(code="inactive_user"), "inactive_user"),
        (MissingScopes(missing=["web"]), "missing_scopes"),
        (TokenUnreadable(), "unreadable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_view_raises_gets_the_same_answers(
    ask: Callable[..., Any], error: SalesforceOAuthError, code: str
) -> None:
    user = make_connection(is_default=True).user

    page, answer = ask(user, raises=error), ask(user, raises=error, **JSON)

    assert page.status_code == 302
    assert in_json(answer)["code"] == code


def test_a_reconnect_url_of_the_error_is_kept(ask: Callable[..., Any]) -> None:
    user = make_connection(is_default=True).user

    answer = ask(user, raises=ReconnectRequired(reconnect_url="/again/"), **JSON)

    assert in_json(answer)["reconnect_url"] == "/again/"


# What passes by itself


@pytest.mark.parametrize(("known", "said"), [(12.2, "13"), (0.0, "1"), (None, "30")])
def test_trouble_that_passes_is_a_page_that_says_when_to_come_again(
    ask: Callable[..., Any], known: float | None, said: str
) -> None:
    user = make_connection(is_default=True).user

    response = ask(user, raises=TemporarilyUnavailable(retry_after=known, code="timeout"))

    assert (response.status_code, response.headers["Retry-After"]) == (503, said)
    assert response.headers["Cache-Control"] == "no-store"
    assert "Salesforce is not available right now" in response.content.decode()
    assert 'href="/accounts/?page=2"' in response.content.decode()


def test_a_form_that_met_trouble_is_not_offered_as_a_link(ask: Callable[..., Any]) -> None:
    user = make_connection(is_default=True).user

    response = ask(user, raises=TemporarilyUnavailable(), method="post")

    assert response.status_code == 503
    assert "/accounts/" not in response.content.decode()


def test_a_program_is_told_of_trouble_that_passes_in_json(ask: Callable[..., Any]) -> None:
    user = make_connection(is_default=True).user

    response = ask(user, raises=TemporarilyUnavailable(retry_after=5, code="timeout"), **JSON)

    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert json.loads(response.content) == {
        "code": "timeout",
        "message": "Salesforce cannot be reached right now. Please try again in a moment.",
        "retry_after": 5,
    }


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.RECONNECT_REQUIRED])
def test_a_view_does_not_run_while_an_operator_has_stopped_its_connection(
    ask: Callable[..., Any], status: str
) -> None:
    connection = make_connection(is_default=True, status=status)
    Hold.objects.create(scope=f"org:{connection.organization_id}", reason="incident")

    page, answer = ask(connection.user), ask(connection.user, **JSON)

    assert (page.status_code, answer.status_code) == (503, 503)
    assert "stopped its use of Salesforce for now" in page.content.decode()
    assert json.loads(answer.content)["code"] == "stopped"


# The decorator alone


def test_it_is_used_with_and_without_arguments() -> None:
    @salesforce_required
    def plain(request: HttpRequest) -> HttpResponse:
        return HttpResponse("welcome")

    request = RequestFactory().get("/")
    request.user = make_connection(is_default=True).user

    assert plain(request).content == b"welcome"


def test_the_view_keeps_its_signature_and_gets_its_arguments() -> None:
    def view(request: HttpRequest, pk: int, *, full: bool = False) -> HttpResponse:
        """Shows one account."""
        return HttpResponse(f"{pk} {full}")

    guarded = salesforce_required(view)
    request = RequestFactory().get("/")
    request.user = make_connection(is_default=True).user

    assert guarded(request, 5, full=True).content == b"5 True"
    assert inspect.signature(guarded) == inspect.signature(view)
    assert (guarded.__name__, guarded.__doc__) == ("view", "Shows one account.")


def test_an_async_view_stays_async() -> None:
    async def view(request: HttpRequest) -> None: ...

    assert iscoroutinefunction(salesforce_required(view))
    assert iscoroutinefunction(salesforce_required(scopes=["api"])(view))
