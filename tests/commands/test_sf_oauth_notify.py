from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.utils import timezone

from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import ConnectionEvent, Notice
from django_sf_oauth.models.holds import alarm_is_new
from django_sf_oauth.models.record import record
from tests.commands.conftest import Run
from tests.factories import make_connection, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def due(settings: Any) -> None:
    """One user to tell, one alert, and what a digest can say."""
    to = {"DIGEST": "ops@example.com", "ALERTS": "ops@example.com"}
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, **to}
    user = make_user(email="ada@example.com")
    row = make_connection(user=user, status=Status.RECONNECT_REQUIRED, reason="revoked")
    record(row, ConnectionEvent.Kind.RECONNECT_REQUIRED, reason="revoked")
    Notice.objects.update(due_at=timezone.now() - timedelta(minutes=1))
    alarm_is_new("default", "invalid_client")


def test_what_is_due_is_sent_once(run: Run) -> None:
    first, again = run("sf_oauth_notify"), run("sf_oauth_notify", "--json")

    assert (first.code, first.out) == (0, "sent: 2\n")
    assert (again.code, again.json) == (0, {})


def test_the_digest_is_sent_when_it_is_asked_for(run: Run) -> None:
    ran = run("sf_oauth_notify", "--digest", "--json")

    assert (ran.code, ran.json) == (0, {"sent": 1})
    assert [message.subject.partition(":")[0] for message in mail.outbox] == ["Salesforce connections"]


@pytest.mark.parametrize(("option", "to_send"), [([], 2), (["--digest"], 1)])
def test_a_dry_run_sends_nothing(run: Run, option: list[str], to_send: int) -> None:
    ran = run("sf_oauth_notify", "--dry-run", "--json", *option)

    assert ran.json == {"to_send": to_send}
    assert mail.outbox == []


def test_mails_that_fail_are_told_by_the_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> int:
        raise OSError

    monkeypatch.setattr(EmailBackend, "send_messages", refuse)

    assert run("sf_oauth_notify", "--json").json == {"failed": 2}
    assert run("sf_oauth_notify").code == 1
