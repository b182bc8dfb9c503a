"""The benchmark "twenty at once" measures what it says, and its page shows what it measured."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.twenty_at_once.peers import OURS, PEERS, Peer
from benchmarks.twenty_at_once.race import ALIVE, EXPIRED, LOST, Cell, Result, measure
from benchmarks.twenty_at_once.table import PAGE, Measured, is_as_promised, label, markdown

IN_SMALL: dict[str, Any] = {"database": "SQLite", "layouts": ("20 threads",), "replays": ("II",), "runs": 1}
SERVED = Counter({"200": 20})


def measured(peer: Peer = OURS, **values: Any) -> Measured:
    """One race of one peer, which went as it should unless said otherwise."""
    facts: dict[str, Any] = {"pace": 0.0, "requests": 1, "fared": SERVED, "afterwards": ALIVE, **values}
    cell = Cell(peer=peer, database="SQLite", layout="20 threads", replay="II")
    return {cell: [Result(**facts)]}


def test_ours_makes_one_token_request_fails_nobody_and_loses_nothing() -> None:
    found = measure(OURS, Path(sys.executable), **IN_SMALL)

    (races,) = found.values()
    assert races == [Result(pace=0.0, requests=1, fared=SERVED, afterwards=ALIVE)]
    assert is_as_promised(found)


@pytest.mark.parametrize(
    "otherwise",
    [
        {"requests": 2},
        {"fared": Counter({"200": 19, "401": 1})},
        {"afterwards": LOST},
        {"fared": Counter({"200": 19})},
    ],
    ids=["two requests", "one failed", "lost", "one never came back"],
)
def test_the_benchmark_fails_unless_ours_does_what_is_promised(otherwise: dict[str, Any]) -> None:
    assert is_as_promised(measured())
    assert not is_as_promised(measured(**otherwise))


def test_a_run_without_ours_promises_nothing() -> None:
    assert not is_as_promised(measured(PEERS[0]))


def test_the_figures_of_several_races_are_told_as_ranges() -> None:
    peer = PEERS[0]
    (one,) = measured(peer).values()
    (two,) = measured(peer, requests=20, fared=Counter({"200": 1, "401": 19}), afterwards=LOST).values()
    (cell,) = measured(peer)

    assert f"| {label(peer)} | 1\N{EN DASH}20 · 0\N{EN DASH}19 · 1 of 2 |" in markdown({cell: [*one, *two]})


def test_lost_connections_are_told_apart_by_the_speed_of_the_token_endpoint() -> None:
    peer = PEERS[0]
    (quick,) = measured(peer, afterwards=LOST).values()
    (slow,) = measured(peer, pace=0.2).values()
    (cell,) = measured(peer)

    table = markdown({cell: [*quick, *slow]})

    assert "| Connections lost, II: at once · 200 ms |" in table
    assert "| 1 of 1 · 0 of 1 |" in table


def test_a_grant_that_nothing_refreshes_stays_expired() -> None:
    assert "· stays expired |" in markdown(measured(PEERS[0], afterwards=EXPIRED))


# The page


def rows() -> dict[str, list[str]]:
    """The figures of each row of each table, by how the row begins."""
    found: dict[str, list[str]] = {}
    for line in re.findall(r"^\| (.+) \|$", PAGE.read_text(), re.MULTILINE):
        name, *figures = line.split(" | ")
        found.setdefault(name, []).extend(figures)
    return found


@pytest.mark.parametrize("peer", [OURS, *PEERS], ids=lambda peer: f"{peer.driver}, {peer.way}")
def test_the_page_has_a_row_for_each_peer(peer: Peer) -> None:
    assert len(rows()[label(peer)]) == 4 + 2 * 4


def test_the_page_says_one_request_no_failure_and_no_loss_of_ours() -> None:
    requests, failed, *lost = rows()[label(OURS)]

    assert (requests, failed) == ("1", "0")
    assert all(re.fullmatch(r"0 of \d+( · 0 of \d+)*", figure) for figure in lost[:2])
    assert all(re.fullmatch(r"1 · 0 · 0 of \d+", figure) for figure in lost[2:])
