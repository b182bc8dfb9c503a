"""The tags for a site's own pages."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.template import Context, RequestContext, Template
from django.test import RequestFactory

from django_sf_oauth.models import Hold, SalesforceConnection
from tests.factories import make_connection, make_user

Status = SalesforceConnection.Status


def rendered(tag: str, *, user: Any = None, method: str = "get", **context: Any) -> str:
    request = getattr(RequestFactory(), method)("/accounts/?page=2")
    request.user = user or AnonymousUser()
    return Template("{% load salesforce %}" + tag).render(RequestContext(request, context))


# The button


def test_the_button_posts_with_a_csrf_token() -> None:
    html = rendered("{% salesforce_connect_button %}")

    assert '<form class="sf-oauth-connect-form" method="post" action="/salesforce/connect/">' in html
    assert "csrfmiddlewaretoken" in html
    assert '<button class="sf-oauth-button">Connect Salesforce</button>' in html
    assert '<input type="hidden" name="next" value="/accounts/?page=2">' in html
    assert 'name="app"' not in html
    assert 'name="login_host"' not in html


def test_the_button_takes_what_the_form_takes() -> None:
    html = rendered(
        '{% salesforce_connect_button app="other" login_host="test.salesforce.com" next=there label=label %}',
        there="/x/?a=1&b=2",
        label="Go <now>",
    )

    assert '<input type="hidden" name="app" value="other">' in html
    assert '<input type="hidden" name="login_host" value="test.salesforce.com">' in html
    assert '<input type="hidden" name="next" value="/x/?a=1&amp;b=2">' in html
    assert "Go &lt;now&gt;" in html


@pytest.mark.parametrize("page", ["posted", "without a request"])
def test_the_button_names_no_page_that_cannot_be_come_back_to(page: str) -> None:
    tag = "{% salesforce_connect_button %}"
    html = (
        rendered(tag, method="post")
        if page == "posted"
        else Template("{% load salesforce %}" + tag).render(Context({"csrf_token": "made-up"}))
    )

    assert 'name="next"' not in html
    assert "csrfmiddlewaretoken" in html


# The status


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("status", "html"),
    [
        (Status.ACTIVE, '<span class="sf-oauth-status sf-oauth-status-good">Connected</span>'),
        (Status.RECONNECT_REQUIRED, '<span class="sf-oauth-status sf-oauth-status-act">Reconnect needed</span>'),
        (Status.BLOCKED, '<span class="sf-oauth-status sf-oauth-status-blocked">Blocked in Salesforce</span>'),
        (Status.DISCONNECTED, '<span class="sf-oauth-status sf-oauth-status-off">Disconnected</span>'),
    ],
)
def test_the_status_is_told_in_words(status: str, html: str) -> None:
    connection = make_connection(status=status)

    assert rendered("{% salesforce_status connection %}", connection=connection) == html


def test_no_connection_has_a_status_too() -> None:
    html = rendered("{% salesforce_status connection %}", connection=None)

    assert html == '<span class="sf-oauth-status sf-oauth-status-off">Not connected</span>'


# The banner


@pytest.mark.django_db
def test_the_banner_shows_what_waits_for_the_user() -> None:
    user = make_user()
    waiting = make_connection(user=user, username="ada@<acme>", status=Status.RECONNECT_REQUIRED, reason="revoked")
    make_connection(user=user, username="fine@acme.example")
    make_connection(username="foreign@acme.example", status=Status.RECONNECT_REQUIRED)

    html = rendered("{% salesforce_reconnect_banner %}", user=user)

    assert f'action="/salesforce/{waiting.uuid}/reconnect/"' in html
    assert "ada@&lt;acme&gt;" in html
    assert "it was revoked there" in html
    assert "fine@" not in html
    assert "foreign@" not in html
    assert 'role="status"' in html
    assert '<input type="hidden" name="next" value="/accounts/?page=2">' in html


@pytest.mark.django_db
def test_the_banner_offers_no_button_that_would_be_refused() -> None:
    user = make_connection(status=Status.RECONNECT_REQUIRED, reason="revoked").user
    Hold.objects.create(scope="all", reason="incident")

    assert rendered("{% salesforce_reconnect_banner %}", user=user).strip() == ""


@pytest.mark.django_db
def test_the_banner_is_absent_when_nothing_waits(django_assert_num_queries: Any) -> None:
    user = make_connection().user

    with django_assert_num_queries(1):
        assert rendered("{% salesforce_reconnect_banner %}", user=user).strip() == ""


def test_the_banner_asks_nothing_for_an_anonymous_visitor() -> None:
    assert rendered("{% salesforce_reconnect_banner %}").strip() == ""


def test_the_banner_is_absent_where_nobody_is_known() -> None:
    html = Template("{% load salesforce %}{% salesforce_reconnect_banner %}").render(Context())

    assert html.strip() == ""
