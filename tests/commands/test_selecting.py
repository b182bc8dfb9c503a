"""What the commands share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.test import override_settings

from django_sf_oauth.management.command import moment
from tests.commands.conftest import Run
from tests.factories import make_connection

pytestmark = pytest.mark.django_db

EARLY = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize("command", ["sf_oauth_refresh", "sf_oauth_revoke"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param([], "Say which connections", id="nothing"),
        pytest.param(["--user", "nobody"], "no user 'nobody'", id="a user who is not there"),
        pytest.param(["--org", "acme"], "id", id="an id that is none"),
        pytest.param(["00000000-0000-4000-8000-000000000000"], "Not found: 0000", id="an unknown uuid"),
    ],
)
def test_a_selection_that_cannot_be_meant_is_wrong_usage(
    run: Run, command: str, words: list[str], said: str
) -> None:
    make_connection()

    ran = run(command, "--dry-run", *words)

    assert ran.code == 2
    assert said in ran.said


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--all"], id="all"),
        pytest.param(["--user", "ada"], id="user"),
        pytest.param(["--org", "00D000000000001"], id="org"),
        pytest.param(["--app", "default"], id="app"),
        pytest.param(["--since", "2026-01-31"], id="since"),
    ],
)
def test_the_same_words_select_everywhere(run: Run, words: list[str], django_user_model: type) -> None:
    user = django_user_model.objects.create(username="ada")  # type: ignore[attr-defined]  # a model
    make_connection(user=user, connected_at=EARLY + timedelta(days=1))

    listed = run("sf_oauth_list", "--json", *words)
    refreshed = run("sf_oauth_refresh", "--json", "--dry-run", *words)
    revoked = run("sf_oauth_revoke", "--json", "--dry-run", *words)

    assert len(listed.json) == 1
    assert refreshed.json == {"to_refresh": 1}
    assert revoked.json == {"to_revoke": 1}


def test_what_is_no_uuid_is_wrong_usage(run: Run) -> None:
    assert "invalid UUID value" in run("sf_oauth_list", "ada").said


@pytest.mark.parametrize(
    ("text", "read"),
    [
        pytest.param("2026-01-31", EARLY, id="a day"),
        pytest.param("2026-01-31T00:00", EARLY, id="without an offset"),
        pytest.param("2026-01-31T02:00+02:00", EARLY, id="with an offset"),
    ],
)
@override_settings(TIME_ZONE="UTC")
def test_since_takes_a_day_or_a_time(text: str, read: datetime) -> None:
    assert moment(text) == read


@override_settings(USE_TZ=False)
def test_since_is_naive_on_a_site_without_time_zones() -> None:
    assert moment("2026-01-31") == datetime(2026, 1, 31)  # that is the point


@pytest.mark.parametrize("text", ["yesterday", "2026-02-31", "2026-02-31T10:00", "2026-01-31Tnoon"])
def test_a_time_that_cannot_be_read_is_wrong_usage(run: Run, text: str) -> None:
    ran = run("sf_oauth_list", "--since", text)

    assert "expected a date such as" in ran.said


def test_every_uuid_that_is_missing_is_named(run: Run) -> None:
    known, unknown = make_connection(), uuid4()

    ran = run("sf_oauth_list", known.uuid, unknown)

    assert str(unknown) in ran.said
    assert str(known.uuid) not in ran.said
