from __future__ import annotations

import pytest

from django_sf_oauth.grants.contract import Status
from tests.commands.conftest import Run
from tests.factories import make_connection

pytestmark = pytest.mark.django_db


def test_without_a_selection_all_are_listed(run: Run) -> None:
    rows = [make_connection(), make_connection(status=Status.BLOCKED, reason="ip_restricted")]

    lines = run("sf_oauth_list").out.splitlines()

    assert [line.split("\t")[0] for line in lines] == [str(row.uuid) for row in rows]
    assert lines[1].split("\t")[1:3] == ["blocked", "ip_restricted"]


def test_a_status_narrows_the_list(run: Run) -> None:
    make_connection()
    blocked = make_connection(status=Status.BLOCKED)

    ran = run("sf_oauth_list", "--json", "--status", "blocked")

    assert [one["uuid"] for one in ran.json] == [str(blocked.uuid)]


@pytest.mark.parametrize("number", [0, 1, 3])
def test_json_is_one_array(run: Run, number: int) -> None:
    for _ in range(number):
        make_connection()

    assert len(run("sf_oauth_list", "--json").json) == number


@pytest.mark.parametrize("words", [[], ["--json"]], ids=["table", "json"])
def test_no_token_is_listed(run: Run, words: list[str]) -> None:
    make_connection(access_token="00D!PLANTED", refresh_token="5AepPLANTED")

    out = run("sf_oauth_list", *words).out

    assert out
    assert "PLANTED" not in out
    assert "•" not in out
