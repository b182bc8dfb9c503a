"""From what Salesforce said to what the row should say."""

from __future__ import annotations

import random

from django_sf_oauth.protocol.errors import Actor, Refusal

from .backoff import full_jitter
from .contract import Claim, Status, Verdict

__all__ = ["CONTENTION", "judge", "misconfigured"]

CONTENTION = "contention"
CONTENTION_PAUSE = (0.3, 0.9)  # seconds
AMBIGUOUS_LIMIT = 5  # an answer that nobody understands is believed after that many tries over hours
BACKOFF_CEILING = 900  # seconds
SLOW_CEILING = 4 * 3600  # seconds; ambiguous answers spread five tries over hours
PROBE = 24 * 3600.0  # seconds; a blocked connection is tried again once a day


def judge(claim: Claim, refusal: Refusal) -> Verdict:
    """What to write after a refused or failed refresh."""
    match refusal.actor:
        case Actor.USER:
            return _dead(claim, "rotation_lost" if claim.in_doubt else refusal.reason)
        case Actor.CUSTOMER_ADMIN:
            return _blocked(claim, refusal)
        case Actor.OPERATOR:
            return misconfigured(claim, refusal.reason)
        case Actor.NOBODY:
            return _unavailable(claim, refusal)
        case _:
            return _ambiguous(claim)


def _dead(claim: Claim, reason: str) -> Verdict:
    # The doubt stays: whoever asks again about a lost rotation gets the same answer.
    return Verdict(kind="dead", reason=reason, status=Status.RECONNECT_REQUIRED, in_doubt=claim.in_doubt)


def _blocked(claim: Claim, refusal: Refusal) -> Verdict:
    return Verdict(
        kind="blocked",
        reason=refusal.reason,
        status=Status.BLOCKED,
        in_doubt=claim.in_doubt,  # refused before the token was looked at: the doubt stays
        retry_in=PROBE,
    )


def misconfigured(claim: Claim, reason: str) -> Verdict:
    """What to write where Salesforce refuses the app itself, which says nothing of the connection."""
    return Verdict(kind="misconfigured", reason=reason, in_doubt=claim.in_doubt, retry_in=_pause(claim))


def _unavailable(claim: Claim, refusal: Refusal) -> Verdict:
    if refusal.reason == CONTENTION:
        # Somebody else's request for the same token is in flight at Salesforce: it is nearly done.
        pause = random.uniform(*CONTENTION_PAUSE)  # noqa: S311  # spreads tries; guards nothing
        in_doubt = claim.in_doubt
        return Verdict(kind="unavailable", reason=CONTENTION, in_doubt=in_doubt, backs_off=False, retry_in=pause)
    pause = max(refusal.retry_after or 0.0, _pause(claim))
    in_doubt = claim.in_doubt or refusal.answer_lost
    return Verdict(kind="unavailable", reason=refusal.reason, in_doubt=in_doubt, retry_in=pause)


def _ambiguous(claim: Claim) -> Verdict:
    if claim.grant.failure_count + 1 >= AMBIGUOUS_LIMIT:
        return _dead(claim, "unknown")
    pause = _pause(claim, factor=600, ceiling=SLOW_CEILING)
    return Verdict(kind="unavailable", reason="unknown", counts=True, in_doubt=claim.in_doubt, retry_in=pause)


def _pause(claim: Claim, factor: int = 2, ceiling: int = BACKOFF_CEILING) -> float:
    return full_jitter(factor, claim.grant.backoff_step, ceiling)
