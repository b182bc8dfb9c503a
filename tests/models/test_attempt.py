from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from django_sf_oauth.models import ConnectAttempt
from django_sf_oauth.models.attempt import LIFETIME, digest
from tests.factories import make_connection, make_user

pytestmark = pytest.mark.django_db

STATE = "st4te-of-this-attempt"


def make_attempt(state: str = STATE, **values: Any) -> ConnectAttempt:
    defaults: dict[str, Any] = {
        "state_digest": digest(state),
        "browser_digest": digest("browser"),
        "verifier": "planted-verifier",
        "app": "default",
        "login_url": "https://login.salesforce.com",
        "redirect_uri": "https://site.example/salesforce/callback/",
    }
    return ConnectAttempt.objects.create(user=make_user(), **{**defaults, **values})


def test_a_state_is_accepted_once() -> None:
    attempt = make_attempt()

    assert ConnectAttempt.objects.consume(STATE) == attempt
    assert ConnectAttempt.objects.consume(STATE) is None
    assert not ConnectAttempt.objects.exists()


def test_the_attempt_that_is_taken_still_knows_its_verifier() -> None:
    make_attempt()

    attempt = ConnectAttempt.objects.consume(STATE)

    assert attempt is not None
    assert attempt.verifier is not None
    assert attempt.verifier.reveal() == "planted-verifier"


@pytest.mark.parametrize("state", ["", "another", digest(STATE)], ids=["empty", "another", "digest"])
def test_a_foreign_state_is_not_accepted_and_takes_nothing(state: str) -> None:
    make_attempt()

    assert ConnectAttempt.objects.consume(state) is None
    assert ConnectAttempt.objects.count() == 1


def test_several_attempts_stand_side_by_side() -> None:
    one, two = make_attempt("one"), make_attempt("two")

    assert ConnectAttempt.objects.consume("two") == two
    assert ConnectAttempt.objects.consume("one") == one


def test_a_state_that_is_too_old_is_not_accepted() -> None:
    old = make_attempt(created_at=timezone.now() - LIFETIME)
    young = make_attempt("young", created_at=timezone.now() - LIFETIME + timedelta(minutes=1))

    assert ConnectAttempt.objects.consume(STATE) is None
    assert list(ConnectAttempt.objects.stale()) == [old]
    assert list(ConnectAttempt.objects.open()) == [young]


def test_a_stolen_table_finishes_no_attempt() -> None:
    attempt = make_attempt()
    table = ConnectAttempt.objects.filter(pk=attempt.pk).values()[0]

    assert STATE not in str(table)
    assert "planted-verifier" not in str(table)


def test_an_attempt_outlives_the_connection_that_it_was_to_renew() -> None:
    row = make_connection()
    make_attempt(connection=row)

    row.delete()

    assert ConnectAttempt.objects.get().connection is None


def test_an_attempt_is_called_by_its_uuid() -> None:
    attempt = make_attempt()

    assert str(attempt) == str(attempt.uuid)


@pytest.mark.django_db(transaction=True)
def test_the_callback_twice_in_parallel_gets_one_attempt() -> None:
    make_attempt()
    gate = threading.Barrier(8)

    def callback() -> ConnectAttempt | None:
        gate.wait(10)
        try:
            return ConnectAttempt.objects.consume(STATE)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        taken = [future.result() for future in [threads.submit(callback) for _ in range(8)]]

    assert len([attempt for attempt in taken if attempt]) == 1
