from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from django_sf_oauth.grants.contract import Claim, Status, Verdict
from django_sf_oauth.grants.verdict import (
    AMBIGUOUS_LIMIT,
    BACKOFF_CEILING,
    CONTENTION_PAUSE,
    PROBE,
    SLOW_CEILING,
    judge,
)
from django_sf_oauth.protocol.errors import Actor, Refusal

from .memory import grant


def verdict(
    actor: Actor, reason: str = "why", *, in_doubt: bool = False, row: dict[str, Any] | None = None, **refusal: Any
) -> Verdict:
    claim = Claim(grant=grant(**(row or {})), owner=uuid4(), in_doubt=in_doubt)
    return judge(claim, Refusal(actor=actor, reason=reason, **refusal))


@pytest.mark.parametrize(
    ("actor", "kind", "status"),
    [
        (Actor.USER, "dead", Status.RECONNECT_REQUIRED),
        (Actor.CUSTOMER_ADMIN, "blocked", Status.BLOCKED),
        (Actor.OPERATOR, "misconfigured", None),
        (Actor.NOBODY, "unavailable", None),
        (Actor.UNKNOWN, "unavailable", None),
        (Actor.ATTEMPT, "unavailable", None),
    ],
)
def test_who_must_act_decides_what_the_row_says(actor: Actor, kind: str, status: Status | None) -> None:
    judged = verdict(actor)

    assert (judged.kind, judged.status) == (kind, status)


@pytest.mark.parametrize("actor", [Actor.USER, Actor.CUSTOMER_ADMIN, Actor.OPERATOR, Actor.NOBODY])
def test_what_is_understood_never_counts_as_a_failure(actor: Actor) -> None:
    assert not verdict(actor).counts
    assert verdict(actor).reason == "why"


def test_a_dead_grant_in_doubt_is_a_lost_rotation() -> None:
    assert verdict(Actor.USER, "revoked", in_doubt=True).reason == "rotation_lost"


def test_a_blocked_connection_is_probed_daily() -> None:
    assert verdict(Actor.CUSTOMER_ADMIN).retry_in == PROBE


def test_a_doubt_stays_until_the_token_was_looked_at() -> None:
    actors = [Actor.CUSTOMER_ADMIN, Actor.OPERATOR, Actor.NOBODY, Actor.UNKNOWN]

    assert all(verdict(actor, in_doubt=True).in_doubt for actor in actors)
    assert not any(verdict(actor).in_doubt for actor in actors)


def test_a_lost_answer_leaves_a_doubt() -> None:
    assert verdict(Actor.NOBODY, answer_lost=True).in_doubt


def test_contention_is_over_in_a_moment() -> None:
    judged = verdict(Actor.NOBODY, "contention", row={"backoff_step": 20}, retry_after=60.0)

    assert judged.retry_in is not None
    assert CONTENTION_PAUSE[0] <= judged.retry_in <= CONTENTION_PAUSE[1]
    assert (judged.backs_off, judged.counts, judged.in_doubt) == (False, False, False)


def test_retry_after_is_obeyed() -> None:
    judged = verdict(Actor.NOBODY, "rate_limited", retry_after=5000.0)

    assert judged.retry_in == 5000.0


@pytest.mark.parametrize(("step", "most"), [(0, 2), (3, 16), (30, BACKOFF_CEILING)])
@pytest.mark.parametrize("actor", [Actor.NOBODY, Actor.OPERATOR])
def test_the_back_off_grows_to_a_ceiling(actor: Actor, step: int, most: int) -> None:
    pauses = [verdict(actor, row={"backoff_step": step}).retry_in or 0 for _ in range(50)]

    assert all(0 <= pause <= most for pause in pauses)


def test_an_answer_that_nobody_understands_is_asked_for_again_over_hours() -> None:
    judged = verdict(Actor.UNKNOWN, "unknown", row={"backoff_step": 9})

    assert (judged.kind, judged.reason, judged.counts) == ("unavailable", "unknown", True)
    assert 0 <= (judged.retry_in or 0) <= SLOW_CEILING


def test_an_answer_that_nobody_understands_is_believed_in_the_end() -> None:
    judged = verdict(Actor.UNKNOWN, row={"failure_count": AMBIGUOUS_LIMIT - 1})

    assert (judged.kind, judged.reason, judged.status) == ("dead", "unknown", Status.RECONNECT_REQUIRED)
