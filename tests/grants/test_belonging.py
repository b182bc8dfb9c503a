"""Tokens of another org are never used for this one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from django_sf_oauth.exceptions import TemporarilyUnavailable
from django_sf_oauth.grants.belonging import of_its_org
from django_sf_oauth.protocol.errors import Refusal, transport_refusal
from django_sf_oauth.protocol.tokens import TokenAnswer
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection

from .memory import grant

OWN = "https://login.salesforce.com/id/00D000000000001EAA/005000000000001AAA"
FOREIGN = OWN.replace("00D000000000001", "00D000000000002")
ANSWER = TokenAnswer(access_token="00D000000000001!one", refresh_token="two", id=OWN)


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER,
        replace(ANSWER, access_token="eyJ0.eyJ0.c2ln"),
        replace(ANSWER, id=None),
        replace(ANSWER, id=None, access_token="opaque"),
        transport_refusal("timeout"),
    ],
    ids=["own", "jwt", "without-id", "says-nothing", "refusal"],
)
def test_an_answer_that_contradicts_nothing_is_taken(answer: TokenAnswer | Refusal) -> None:
    assert of_its_org(grant(), answer) is answer


@pytest.mark.parametrize(
    "answer",
    [
        replace(ANSWER, id=FOREIGN),
        replace(ANSWER, access_token="00D000000000002!one"),
        replace(ANSWER, id=FOREIGN, access_token="00D000000000002!one"),
    ],
    ids=["identity", "token", "both"],
)
def test_tokens_of_another_org_are_refused(answer: TokenAnswer) -> None:
    refusal = of_its_org(grant(), answer)

    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.answer_lost) == ("foreign_org", True)


@pytest.mark.django_db
def test_a_refresh_that_brings_another_orgs_tokens_changes_nothing(fake_salesforce: FakeSalesforce) -> None:
    tokens = fake_salesforce.issue()
    row = make_connection(
        instance_url=tokens["instance_url"],
        access_token=tokens["access_token"],
        refresh_token=tokens["refresh_token"],
    )

    with pytest.raises(TemporarilyUnavailable):  # the row is of another org than the fake's
        row.refresh()

    row.refresh_from_db()
    assert row.access_token is not None
    assert row.access_token.reveal() == tokens["access_token"]
    assert (row.generation, row.instance_url) == (1, tokens["instance_url"])
