from __future__ import annotations

import pytest

from django_sf_oauth.conf import Breaker
from django_sf_oauth.grants.breaker import FailuresInARow, host_failed
from django_sf_oauth.protocol.errors import Actor, Refusal
from django_sf_oauth.protocol.tokens import TokenAnswer

HOST = "login.salesforce.com"
LIMITS = Breaker(count=3, window=60.0)


def failing(runs: FailuresInARow, *moments: float, host: str = HOST) -> list[bool]:
    return [runs.failed(host, LIMITS, moment) for moment in moments]


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        (Refusal(actor=Actor.NOBODY, reason="server_error"), True),
        (Refusal(actor=Actor.NOBODY, reason="timeout"), True),
        (Refusal(actor=Actor.NOBODY, reason="rate_limited"), True),
        (Refusal(actor=Actor.NOBODY, reason="malformed_answer"), True),
        (Refusal(actor=Actor.NOBODY, reason="contention"), False),
        (Refusal(actor=Actor.USER, reason="revoked"), False),
        (Refusal(actor=Actor.OPERATOR, reason="invalid_client"), False),
        (Refusal(actor=Actor.CUSTOMER_ADMIN, reason="app_blocked"), False),
        (TokenAnswer(access_token="access"), False),
    ],
    ids=lambda value: getattr(value, "reason", ""),
)
def test_a_host_has_failed_if_nobody_can_mend_the_refusal(answer: TokenAnswer | Refusal, failed: bool) -> None:
    assert host_failed(answer) is failed


def test_so_many_failures_in_a_row_trip_it_and_begin_anew() -> None:
    assert failing(FailuresInARow(), *range(6)) == [False, False, True] * 2


def test_an_answer_that_makes_sense_ends_the_row() -> None:
    runs = FailuresInARow()
    failing(runs, 0, 1)

    runs.answered(HOST)

    assert failing(runs, 2, 3, 4) == [False, False, True]
    runs.answered("never.asked.example")


def test_failures_spread_over_more_than_the_window_do_not_add_up() -> None:
    assert failing(FailuresInARow(), 0, 30, 61, 62, 63) == [False, False, False, False, True]


def test_hosts_are_counted_apart() -> None:
    runs = FailuresInARow()
    failing(runs, 0, 1)

    assert failing(runs, 2, host="test.salesforce.com") == [False]
    assert failing(runs, 3) == [True]
