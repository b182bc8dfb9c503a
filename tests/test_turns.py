"""Whose turn it is: no database is needed to say so."""

from __future__ import annotations

from itertools import islice

from django_sf_oauth.models.due_rows import Due
from django_sf_oauth.services.turns import in_turns

LIMIT = 200  # of which a share is two


def due(orgs: str, app: str = "default") -> list[Due]:
    """One connection for each letter, which names its org."""
    return [Due(pk, org, app, "https://login.salesforce.com") for pk, org in enumerate(orgs)]


def order(orgs: str, limit: int = LIMIT) -> str:
    return "".join(one.organization_id for one in in_turns(due(orgs), limit=limit))


def test_the_longest_overdue_come_first_while_each_org_has_few() -> None:
    assert [one.pk for one in in_turns(due("abab"), limit=LIMIT)] == [0, 1, 2, 3]


def test_what_an_org_has_beyond_its_share_comes_after_the_others() -> None:
    assert order("aaaaabbc") == "aabbcaaa"


def test_what_is_left_of_several_orgs_comes_in_turn() -> None:
    assert order("aaaaaabbbb") == "aabb" + "abab" + "aa"


def test_one_org_alone_gets_all() -> None:
    assert order("a" * 500) == "a" * 202  # more than anybody will take


def test_an_org_that_comes_late_finds_room_to_wait_in() -> None:
    found = islice(in_turns(due("a" * 1000 + "b" * 1000), limit=LIMIT), LIMIT)

    assert sum(one.organization_id == "b" for one in found) == LIMIT / 2


def test_no_more_is_kept_back_than_can_be_taken() -> None:
    names = [chr(0x4E00 + number) for number in range(300)]
    most = sum(1 for _ in in_turns(due("".join(name * 50 for name in names)), limit=LIMIT))

    assert most < 300 * 50 / 10


def test_what_has_waited_is_still_of_its_app() -> None:
    *_, last = in_turns(due("aaa", app="other"), limit=LIMIT)

    assert last == Due(2, "a", "other", "https://login.salesforce.com")
