"""A little of `python -m benchmarks.fuzz` in each run of the tests."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from .claims import CLAIMS, REACHED, Claim
from .readings import browser_host

CASES = 150
POINTS = {
    "CallbackCode",
    "CallbackError",
    "CallbackMalformed",
    "Refusal",
    "TokenAnswer",
    "adopted instance",
    "foreign org",
    "identity",
    "login host",
    "request with the token",
    "request without it",
    "trusted url",
    "way back",
}


QUIETLY = settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_hostile_input_finds_no_way_through(claim: Claim) -> None:
    claim.play(QUIETLY)


def test_the_claims_come_to_the_point() -> None:
    for claim in CLAIMS:
        claim.play(QUIETLY)

    assert set(REACHED) == POINTS


def test_a_browser_leaves_another_scheme_to_another_program() -> None:
    assert browser_host("mailto:ada@example.com", base_scheme="https", base_host="site.example") == "mailto:"
