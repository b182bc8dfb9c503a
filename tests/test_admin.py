"""The admin: what it shows, what it can do, and what it never shows."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import models
from django.db.models import Q
from django.test import Client
from django.test.utils import isolate_apps
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import escape

from django_sf_oauth.admin import actions, connections, filters
from django_sf_oauth.admin.audit import HoldAdmin
from django_sf_oauth.admin.connections import WHO_ACTS, WITHHELD
from django_sf_oauth.exceptions import TemporarilyUnavailable
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import ConnectAttempt, ConnectionEvent, Hold, PendingRevocation, SalesforceConnection
from django_sf_oauth.models.record import record
from django_sf_oauth.testing import FakeSalesforce
from tests.audit.tampering import change, events_of
from tests.factories import make_connection, make_user
from tests.fleet import connect_many, connect_one

pytestmark = pytest.mark.django_db

CONNECTIONS = "/admin/django_sf_oauth/salesforceconnection/"
EVENTS = "/admin/django_sf_oauth/connectionevent/"
HOLDS = "/admin/django_sf_oauth/hold/"
Kind = ConnectionEvent.Kind


@pytest.fixture
def operator() -> Any:
    return make_user(username="operator", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(operator: Any) -> Client:
    client = Client()
    client.force_login(operator)
    return client


def staff_browser(*permissions: str) -> Client:
    """A browser of a staff user who has these permissions and no others."""
    user = make_user(is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def page(client: Client, url: str, **query: Any) -> str:
    response = client.get(url, query, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def act(client: Client, action: str, rows: list[SalesforceConnection], **more: Any) -> Any:
    form = {"action": action, "_selected_action": [row.pk for row in rows], **more}
    return client.post(CONNECTIONS, form, follow=True)


def told(response: Any) -> list[tuple[str, str]]:
    return [(message.level_tag, message.message) for message in response.context["messages"]]


def shown(html: str) -> int:
    """How many rows a list shows."""
    return html.count('name="_selected_action"')


# What it shows


def test_the_list_shows_who_is_connected_where_and_how_it_is(browser: Client) -> None:
    make_connection(
        user=make_user(username="ada"),
        organization_name="Acme Outdoor",
        is_sandbox=True,
        is_default=True,
        status=Status.BLOCKED,
        reason="ip_restricted",
    )

    _, _, table = page(browser, CONNECTIONS).partition('id="result_list"')

    for text in (
        "ada",
        "default connection",
        "Acme Outdoor",
        "sandbox",
        ">blocked<",
        "ip restricted",
        "app default",
    ):
        assert text in table


@pytest.mark.parametrize("number", [0, 1, 7], ids=["empty", "one", "many"])
def test_the_list_costs_the_same_queries_for_any_number_of_rows(
    browser: Client, number: int, django_assert_max_num_queries: Any
) -> None:
    for _ in range(number):
        make_connection()

    with django_assert_max_num_queries(4):  # session, user, count, rows
        assert shown(page(browser, CONNECTIONS)) == number


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param({"status__exact": "blocked"}, ["blocked"], id="status"),
        pytest.param({"app": "other"}, ["other"], id="app"),
        pytest.param({"is_sandbox__exact": "1"}, ["sandbox"], id="sandbox"),
    ],
)
def test_the_list_can_be_filtered(browser: Client, query: dict[str, str], found: list[str]) -> None:
    make_connection(username="blocked", status=Status.BLOCKED)
    make_connection(username="other", app="other")
    make_connection(username="sandbox", is_sandbox=True)

    response = browser.get(CONNECTIONS, query)

    assert [row.username for row in response.context["cl"].result_list] == found


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("ADA", id="the user's name"),
        pytest.param("lovelace@", id="the user's e-mail"),
        pytest.param("countess", id="the Salesforce username"),
        pytest.param("00D00000000000W", id="15 characters of the organization id"),
        pytest.param(" ada ", id="with blanks"),
    ],
)
def test_the_list_can_be_searched_by_how_a_name_begins(browser: Client, text: str) -> None:
    make_connection(
        user=make_user(username="ada", email="lovelace@example.com"),
        username="countess@acme.example",
        organization_id="00D00000000000WAAQ",
    )
    make_connection(username="charles@acme.example")

    assert shown(page(browser, CONNECTIONS, q=text)) == 1


def test_a_search_for_nobody_finds_nothing(browser: Client) -> None:
    make_connection()

    assert shown(page(browser, CONNECTIONS, q="zzz")) == 0


def test_a_search_looks_for_users_first_and_joins_nothing(browser: Client) -> None:
    make_connection(user=make_user(username="ada"))

    rows = SalesforceConnection.objects.filter(filters.search_condition("ada"))

    assert "JOIN" not in str(rows.query)


def test_the_page_of_a_connection_shows_its_latest_events_newest_first(browser: Client, operator: Any) -> None:
    connection = make_connection()
    for number in range(25):
        record(connection, Kind.CONNECT_FAILED, reason=f"reason-{number:02d}", actor=operator)
    record(make_connection(), Kind.BLOCKED, reason="somebody-elses")

    html = page(browser, f"{CONNECTIONS}{connection.pk}/change/")

    assert html.count("reason-") - html.count("connect_failed reason-") == 20
    assert html.index("reason-24") < html.index("reason-05")
    assert "reason-04" not in html
    assert "somebody-elses" not in html


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        pytest.param({}, ["stored", "stored"], id="both"),
        pytest.param({"access_token": None, "refresh_token": None}, ["none", "none"], id="neither"),
    ],
)
def test_the_page_says_whether_there_are_tokens(browser: Client, tokens: dict[str, Any], words: list[str]) -> None:
    connection = make_connection(**tokens)

    response = browser.get(f"{CONNECTIONS}{connection.pk}/change/")

    model_admin = response.context["adminform"].model_admin
    assert [model_admin.access_token_shown(connection), model_admin.refresh_token_shown(connection)] == words


@pytest.mark.parametrize("status", Status.values)
def test_the_page_says_who_has_to_act(browser: Client, status: str) -> None:
    connection = make_connection(status=status)

    html = page(browser, f"{CONNECTIONS}{connection.pk}/change/")

    assert str(escape(WHO_ACTS[connections.Status(status)])) in html


def test_the_page_leads_to_all_events_of_the_connection(browser: Client) -> None:
    connection, other = make_connection(), make_connection()
    record(connection, Kind.CONNECTED)
    record(other, Kind.CONNECTED)

    assert f"{EVENTS}?connection_uuid={connection.uuid}" in page(browser, f"{CONNECTIONS}{connection.pk}/change/")
    response = browser.get(EVENTS, {"connection_uuid": str(connection.uuid)})

    assert [event.connection for event in response.context["cl"].result_list] == [connection]


def test_events_outlive_their_connection_and_lead_to_it_as_long_as_it_lives(browser: Client) -> None:
    living, dead = make_connection(username="living@x.example"), make_connection(username="dead@x.example")
    nameless = make_connection(username="")
    for connection in (living, dead, nameless):
        record(connection, Kind.CONNECTED)
    dead.delete()
    nameless.delete()

    html = page(browser, EVENTS)

    assert f'<a href="{CONNECTIONS}{living.pk}/change/">living@x.example</a>' in html
    assert '<td class="field-connection_link">dead@x.example</td>' in html
    assert str(nameless.uuid) in html


def test_the_audit_shows_which_events_are_as_they_were_written(browser: Client) -> None:
    connection, actor = make_connection(), make_user(username="grace")
    for kind in (Kind.CONNECTED, Kind.BLOCKED, Kind.DISCONNECTED):
        record(connection, kind, actor=actor)
    unsigned, changed, _ = events_of(connection)
    change(unsigned, mac="")
    change(changed, reason="nothing happened")
    key = str(actor.pk)
    actor.delete()

    html = page(browser, EVENTS)

    cells = re.findall(r'field-sequence_shown">(\d)</td><td class="field-is_whole"><img [^>]*icon-(\w+)', html)
    assert cells == [("3", "yes"), ("2", "no"), ("1", "no")]
    assert html.count(f"deleted: {key}") == 3


@pytest.mark.parametrize("number", [1, 30])
def test_to_verify_a_page_of_the_audit_costs_no_queries(
    browser: Client, number: int, django_assert_max_num_queries: Any
) -> None:
    for _ in range(number):
        record(make_connection(), Kind.CONNECTED)

    with django_assert_max_num_queries(4):  # session, user, count, rows
        assert page(browser, EVENTS).count("icon-yes") == number


# What it never shows


def admin_pages() -> list[str]:
    """Every page of the admin about our models, and the users' pages, which name their connections."""
    pages = [reverse("admin:index"), reverse("admin:app_list", args=["django_sf_oauth"])]
    for model in (ConnectionEvent, Hold, SalesforceConnection, get_user_model()):
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        pages.append(reverse(f"{name}_changelist"))
        for row in model._base_manager.all():
            pages += [reverse(f"{name}_{view}", args=[row.pk]) for view in ("change", "history")]
            if model is not ConnectionEvent:
                pages.append(reverse(f"{name}_delete", args=[row.pk]))
    return pages


@pytest.mark.urls("tests.admin_urls")
def test_no_token_is_shown_anywhere_in_the_admin(browser: Client, operator: Any) -> None:
    connection = make_connection(access_token="00DPLANTED!access", refresh_token="5AepPLANTEDrefresh")
    record(connection, Kind.CONNECTED)
    Hold.objects.create(scope="all", reason="incident")

    seen = [page(browser, url) for url in admin_pages()]
    seen += [
        act(browser, "revoke_and_disconnect", [connection]).content.decode(),
        act(browser, "delete_selected", [connection]).content.decode(),
        page(browser, CONNECTIONS, q="00DPLANTED"),
    ]

    sealed = [token for token in (connection.access_token, connection.refresh_token) if token]
    ciphertexts = [token._ciphertext.decode() for token in sealed]
    assert len(ciphertexts) == 2
    for html in seen:
        assert "PLANTED!" not in html
        assert "PLANTEDrefresh" not in html
        assert not any(ciphertext in html for ciphertext in ciphertexts)
    assert len(seen) > 15


def test_a_list_does_not_even_read_the_tokens(browser: Client, django_assert_num_queries: Any) -> None:
    make_connection()

    (row,) = browser.get(CONNECTIONS).context["cl"].result_list

    assert row.get_deferred_fields() == {"access_token", "refresh_token"}


@pytest.mark.parametrize("model", [ConnectAttempt, PendingRevocation])
def test_what_holds_nothing_but_secrets_has_no_page(model: type[models.Model]) -> None:
    assert not admin.site.is_registered(model)


# What it can and cannot do


@pytest.mark.parametrize("base", [CONNECTIONS, EVENTS])
def test_nothing_can_be_added_but_a_hold(browser: Client, base: str) -> None:
    assert browser.get(f"{base}add/").status_code == 403


def test_nothing_can_be_changed_by_a_forged_form(browser: Client) -> None:
    connection = make_connection(username="before@x.example")
    record(connection, Kind.CONNECTED)
    hold = Hold.objects.create(scope="all", reason="incident")
    event = connection.events.get()

    codes = {
        browser.post(
            f"{base}{row.pk}/change/", {"username": "after", "scope": "after", "reason": "after"}
        ).status_code
        for base, row in ((CONNECTIONS, connection), (EVENTS, event), (HOLDS, hold))
    }

    assert codes == {403}
    connection.refresh_from_db()
    assert connection.username == "before@x.example"


def test_the_audit_cannot_be_deleted(browser: Client) -> None:
    record(make_connection(), Kind.CONNECTED)
    event = ConnectionEvent.objects.get()

    assert browser.post(f"{EVENTS}{event.pk}/delete/", {"post": "yes"}).status_code == 403
    browser.post(EVENTS, {"action": "delete_selected", "_selected_action": [event.pk], "post": "yes"})

    assert ConnectionEvent.objects.filter(pk=event.pk).exists()


@pytest.mark.parametrize(
    "scope", ["all", "app:default", "org:00D000000000001EAA", "host:login.salesforce.com", "host:127.0.0.1:8001"]
)
def test_a_hold_can_be_added(browser: Client, scope: str) -> None:
    response = browser.post(f"{HOLDS}add/", {"scope": scope, "reason": "incident"})

    assert response.status_code == 302
    assert Hold.objects.get().scope == scope
    assert Hold.objects.get().set_by == "operator"


def test_an_organization_of_15_characters_is_held_under_its_18(browser: Client) -> None:
    browser.post(f"{HOLDS}add/", {"scope": "org:00D000000000001", "reason": "incident"})

    assert Hold.objects.get().scope == "org:00D000000000001EAA"


@pytest.mark.parametrize(
    "scope",
    [
        *("everything", "default", "all of them", "app:", "app:nope", "host:a/b"),
        *("org:00D000000000001AAA", "org:005000000000001AAA"),
    ],
)
def test_a_hold_that_would_hold_nothing_back_is_refused(browser: Client, scope: str) -> None:
    response = browser.post(f"{HOLDS}add/", {"scope": scope, "reason": "incident"})

    assert "scope" in response.context["adminform"].form.errors
    assert not Hold.objects.exists()


@pytest.mark.parametrize("scope", ["fleet:default", "alarm:default", "digest:default"])
def test_what_the_package_decides_is_not_set_by_hand(browser: Client, scope: str) -> None:
    response = browser.post(f"{HOLDS}add/", {"scope": scope, "reason": "incident"})

    assert "itself" in str(response.context["adminform"].form.errors["scope"])
    assert not Hold.objects.exists()


def test_a_kill_switch_that_is_added_stops_a_connection_until_it_is_deleted(browser: Client) -> None:
    connection = make_connection()
    connection.bearer()

    browser.post(f"{HOLDS}add/", {"scope": "app:default", "reason": "incident"})
    with pytest.raises(TemporarilyUnavailable):
        connection.bearer()
    browser.post(HOLDS, {"action": "delete_selected", "_selected_action": [Hold.objects.get().pk], "post": "yes"})

    assert connection.bearer()


def test_the_list_of_holds_says_since_when_until_when_and_who_waits(browser: Client) -> None:
    now = timezone.now()
    make_connection(withheld="revoked")
    guard = Hold.objects.create(
        scope="fleet:default", reason="fleet_guard", until=now + timedelta(days=1), probe_at=now
    )
    ended = Hold.objects.create(scope="host:login.salesforce.com", reason="breaker", until=now)

    shown = {row.scope: row for row in browser.get(HOLDS).context["cl"].result_list}

    hold_admin = admin.site.get_model_admin(Hold)
    assert isinstance(hold_admin, HoldAdmin)
    assert [hold_admin.waiting(shown[hold.scope]) for hold in (guard, ended)] == [1, 0]
    assert [hold_admin.in_force(shown[hold.scope]) for hold in (guard, ended)] == [True, False]
    assert escape(date_format(timezone.localtime(now), "DATETIME_FORMAT")) in page(browser, HOLDS)


@pytest.mark.parametrize(
    ("scope", "effect"),
    [
        ("all", "No connection is used"),
        ("app:default", "No connection of this app"),
        ("org:00D000000000001EAA", "No connection to this organization"),
        ("host:login.salesforce.com", "Nobody refreshes at this host"),
        ("fleet:default", "Delete it to ask Salesforce for each of them again"),
        ("alarm:default", "Delete it to be told again"),
        ("digest:default", "Delete it to have another one sent"),
    ],
)
def test_the_page_of_a_hold_says_what_deleting_it_does(browser: Client, scope: str, effect: str) -> None:
    hold = Hold.objects.create(scope=scope, reason="incident")

    assert effect in page(browser, f"{HOLDS}{hold.pk}/change/")


def test_the_page_that_adds_a_hold_says_what_can_be_stopped(browser: Client) -> None:
    assert "What an operator stops: all, app:alias" in page(browser, f"{HOLDS}add/")


def test_a_connection_whose_verdict_is_withheld_says_so(browser: Client) -> None:
    connection = make_connection(withheld="rotation_lost")

    assert "rotation lost, withheld" in page(browser, CONNECTIONS)
    assert escape(str(WITHHELD)) in page(browser, f"{CONNECTIONS}{connection.pk}/change/")


def test_adding_a_hold_takes_the_permission(db: None) -> None:
    assert staff_browser("view_hold").get(f"{HOLDS}add/").status_code == 403


@pytest.mark.parametrize("status", Status.values)
def test_the_list_calls_a_status_by_the_label_of_the_model(browser: Client, status: str) -> None:
    connection = make_connection(status=status)

    html = page(browser, CONNECTIONS)

    assert f'sf-oauth-status-{status}">{connection.get_status_display()}<' in html


def test_deleting_a_hold_lifts_it(browser: Client) -> None:
    hold = Hold.objects.create(scope="app:default", reason="incident")

    browser.post(f"{HOLDS}{hold.pk}/delete/", {"post": "yes"})

    assert not Hold.objects.exists()


@pytest.mark.urls("tests.admin_urls")
def test_deleting_a_user_revokes_their_connections_later_and_keeps_the_audit(browser: Client) -> None:
    connection = make_connection()
    record(connection, Kind.CONNECTED)

    browser.post(reverse("admin:uuid_user_user_delete", args=[connection.user.pk]), {"post": "yes"})

    assert not SalesforceConnection.objects.exists()
    assert PendingRevocation.objects.get().connection_uuid == connection.uuid
    assert {(event.kind, event.user) for event in ConnectionEvent.objects.all()} == {
        (Kind.CONNECTED, None),
        (Kind.DELETED, None),
    }


@pytest.mark.parametrize("way", ["one", "selected"])
def test_deleting_a_connection_revokes_it_later_and_keeps_the_audit(browser: Client, way: str) -> None:
    connection = make_connection()

    if way == "one":
        browser.post(f"{CONNECTIONS}{connection.pk}/delete/", {"post": "yes"})
    else:
        act(browser, "delete_selected", [connection], post="yes")

    assert not SalesforceConnection.objects.exists()
    assert PendingRevocation.objects.get().connection_uuid == connection.uuid
    assert ConnectionEvent.objects.get().kind == Kind.DELETED


def test_refresh_now_renews_what_is_selected(browser: Client, fake_salesforce: FakeSalesforce) -> None:
    chosen = connect_many(fake_salesforce, 2)
    connect_one(fake_salesforce)

    response = act(browser, "refresh_now", chosen)

    assert told(response) == [("success", "2 connections renewed.")]
    assert fake_salesforce.token_requests == 2


def test_refresh_now_tells_each_ending_in_words(browser: Client, fake_salesforce: FakeSalesforce) -> None:
    renewed, dead, gone, inactive, misfit = connect_many(fake_salesforce, 5)
    fake_salesforce.revoke(fake_salesforce.world.users[dead.username])
    gone.disconnect()
    type(inactive.user).objects.filter(pk=inactive.user.pk).update(is_active=False)
    SalesforceConnection.objects.filter(pk=misfit.pk).update(app="gone from the settings")

    response = act(browser, "refresh_now", [renewed, dead, gone, inactive, misfit])

    assert told(response) == [
        ("success", "1 connection renewed."),
        ("warning", "1 connection needs a reconnect by its user."),
        ("info", "1 connection is disconnected: there is nothing to renew."),
        ("info", "1 connection left alone: its user is inactive on this site."),
        ("error", "1 connection failed unexpectedly: the log says why."),
    ]


@pytest.mark.parametrize(
    "words", [actions.REFRESHED, actions.REVOKED, actions.LEFT_OVER], ids=["refreshed", "revoked", "left over"]
)
@pytest.mark.parametrize("number", [1, 2])
def test_every_ending_has_words_for_one_and_for_many(words: dict[str, tuple[int, Any]], number: int) -> None:
    texts = [text % {"count": number} for _level, text in words.values()]

    noun = "connection" if number == 1 else "connections"
    assert all(text.startswith(f"{number} {noun} ") for text in texts)


def test_revoking_asks_first_and_does_nothing_yet(browser: Client, fake_salesforce: FakeSalesforce) -> None:
    connection = connect_one(fake_salesforce)

    response = act(browser, "revoke_and_disconnect", [connection])

    connection.refresh_from_db()
    assert connection.status == Status.ACTIVE
    assert "cannot be undone" in response.content.decode()
    assert f'name="_selected_action" value="{connection.pk}"' in response.content.decode()


def test_a_confirmed_revocation_disconnects_and_names_the_operator(
    browser: Client, fake_salesforce: FakeSalesforce, operator: Any
) -> None:
    connection = connect_one(fake_salesforce)

    response = act(browser, "revoke_and_disconnect", [connection], post="yes")

    connection.refresh_from_db()
    assert told(response) == [("success", "1 connection disconnected and revoked at Salesforce.")]
    assert connection.status == Status.DISCONNECTED
    assert connection.events.get(kind=Kind.DISCONNECTED).actor == operator


def test_a_revocation_that_salesforce_does_not_confirm_is_told_as_such(
    browser: Client, fake_salesforce: FakeSalesforce
) -> None:
    connection = connect_one(fake_salesforce)
    fake_salesforce.maintenance = True

    ((level, text),) = told(act(browser, "revoke_and_disconnect", [connection], post="yes"))

    assert (level, text[:34]) == ("warning", "1 connection disconnected here. Sa")


@pytest.mark.parametrize("action", ["refresh_now", "revoke_and_disconnect"])
def test_what_an_operator_does_is_logged(
    browser: Client, fake_salesforce: FakeSalesforce, operator: Any, action: str
) -> None:
    connection = connect_one(fake_salesforce)

    act(browser, action, [connection], post="yes")

    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (operator, str(connection.pk))


@pytest.mark.parametrize("action", ["refresh_now", "revoke_and_disconnect"])
def test_whoever_may_only_look_can_do_nothing(fake_salesforce: FakeSalesforce, action: str) -> None:
    connection = connect_one(fake_salesforce)
    browser = staff_browser("view_salesforceconnection")

    response = act(browser, action, [connection], post="yes")

    connection.refresh_from_db()
    assert action not in response.content.decode()
    assert (connection.status, connection.generation) == (Status.ACTIVE, 1)
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("action", ["refresh_now", "revoke_and_disconnect"])
def test_whoever_may_change_connections_may_operate_them(fake_salesforce: FakeSalesforce, action: str) -> None:
    connection = connect_one(fake_salesforce)
    browser = staff_browser("view_salesforceconnection", "change_salesforceconnection")

    act(browser, action, [connection], post="yes")

    connection.refresh_from_db()
    assert connection.generation == 2


@pytest.mark.parametrize("action", ["refresh_now", "revoke_and_disconnect"])
def test_more_than_one_request_should_do_is_refused_whole(
    browser: Client, fake_salesforce: FakeSalesforce, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    monkeypatch.setattr(actions, "MOST", 2)
    rows = connect_many(fake_salesforce, 3)

    response = act(browser, action, rows, post="yes")

    assert told(response)[0][0] == "error"
    assert fake_salesforce.token_requests == 0
    assert SalesforceConnection.objects.active().count() == 3
    assert not LogEntry.objects.exists()


def test_an_action_on_all_pages_revokes_only_what_the_confirmation_listed(
    browser: Client, fake_salesforce: FakeSalesforce
) -> None:
    listed = connect_one(fake_salesforce)
    html = act(browser, "revoke_and_disconnect", [listed], select_across="1").content.decode()
    later = connect_one(fake_salesforce)

    act(browser, "revoke_and_disconnect", [listed], post="yes")

    later.refresh_from_db()
    assert "select_across" not in html
    assert later.status == Status.ACTIVE


# Other user models


@isolate_apps("tests")
def test_a_user_model_without_any_name_in_words_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    class Crew(models.Model):  # noqa: DJ008  # nobody prints it
        """A user model as foreign as Django allows: no username, no e-mail."""

        badge = models.IntegerField(unique=True)

        USERNAME_FIELD = "badge"

        class Meta:
            app_label = "tests"

        @classmethod
        def get_email_field_name(cls) -> str:
            return "email"

    monkeypatch.setattr(filters, "get_user_model", lambda: Crew)

    condition = filters.search_condition("7")

    assert condition == Q(username__istartswith="7") | Q(organization_id__startswith="7")


@pytest.mark.parametrize("use_tz", [True, False], ids=["time zones", "no time zones"])
def test_times_are_shown_from_now_and_exactly_on_pointing(settings: Any, use_tz: bool) -> None:
    settings.USE_TZ = use_tz
    settings.TIME_ZONE = "UTC"
    earlier, later = timezone.now() - timedelta(hours=3), timezone.now() + timedelta(days=2, minutes=1)
    row = make_connection(save=False, last_used_at=earlier, last_refreshed_at=None, next_refresh_at=later)
    model_admin = connections.SalesforceConnectionAdmin(SalesforceConnection, admin.site)

    texts = [model_admin.used(row), model_admin.refreshed(row), model_admin.refreshes_next(row)]

    assert [text.replace("\xa0", " ") for text in texts] == [
        f'<span title="{date_format(earlier, "DATETIME_FORMAT")}">3 hours ago</span>',
        "-",
        f'<span title="{date_format(later, "DATETIME_FORMAT")}">in 2 days</span>',
    ]
