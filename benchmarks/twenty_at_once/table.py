"""The figures as Markdown, and the page that shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from .environments import version_of
from .peers import OURS, Peer
from .race import ALIVE, CALLERS, EXPIRED, LOST, REPLAYS, Cell, Result

__all__ = ["PAGE", "Measured", "is_as_promised", "label", "markdown", "write_page"]

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "twenty-at-once.md"
BEGIN, END = "<!-- begin: made by the benchmark -->", "<!-- end: made by the benchmark -->"

Measured = dict[Cell, list[Result]]


def is_as_promised(measured: Measured) -> bool:
    """Whether ours made one request, failed nobody and lost nothing, in every race that was run."""
    races = [result for cell, results in measured.items() if cell.peer == OURS for result in results]
    return bool(races) and all(
        (race.requests, race.failed, race.afterwards) == (1, 0, ALIVE) and race.fared.total() == CALLERS
        for race in races
    )


def markdown(measured: Measured) -> str:
    """A table of all, and one for each database."""
    databases = dict.fromkeys(cell.database for cell in measured)
    tables = [_overview(measured), *(_details(measured, database) for database in databases)]
    return "\n\n".join(tables)


def _overview(measured: Measured) -> str:
    paces = " · ".join(
        _words(pace) for pace in _paces(result for results in measured.values() for result in results)
    )
    head = ["What was used", "Token requests", f"Calls that failed, of {CALLERS}"]
    rows = [
        [
            label(peer),
            _range(result.requests for result in _of(measured, peer=peer)),
            _range(result.failed for result in _of(measured, peer=peer)),
            *(_lost_by_pace(_of(measured, peer=peer, replay=replay)) for replay in REPLAYS),
        ]
        for peer in _peers(measured)
    ]
    return _table([*head, *(f"Connections lost, {replay}: {paces}" for replay in REPLAYS)], rows)


def _details(measured: Measured, database: str) -> str:
    columns = list(dict.fromkeys((cell.layout, cell.replay) for cell in measured))
    rows = [
        [
            label(peer),
            *(
                _figures(_of(measured, peer=peer, database=database, layout=layout, replay=replay))
                for layout, replay in columns
            ),
        ]
        for peer in _peers(measured)
    ]
    return _table([database, *(f"{layout}, {replay}" for layout, replay in columns)], rows)


def label(peer: Peer) -> str:
    """How a row begins."""
    if peer == OURS:
        return f"**{peer.package}**"
    return f"{peer.package} {version_of(peer)}, {peer.way}"


def _peers(measured: Measured) -> list[Peer]:
    return list(dict.fromkeys(cell.peer for cell in measured))


def _of(measured: Measured, **wanted: object) -> list[Result]:
    """The results of the cells that have these values."""
    return [
        result
        for cell, results in measured.items()
        if all(getattr(cell, name) == value for name, value in wanted.items())
        for result in results
    ]


def _figures(results: list[Result]) -> str:
    requests = _range(result.requests for result in results)
    failed = _range(result.failed for result in results)
    return f"{requests} · {failed} · {_lost(results)}"


def _range(numbers: Iterable[int]) -> str:
    found = sorted(numbers)
    return str(found[0]) if found[0] == found[-1] else f"{found[0]}–{found[-1]}"  # noqa: RUF001  # a range


def _lost(results: list[Result]) -> str:
    found = Counter(result.afterwards for result in results)
    if set(found) == {EXPIRED}:
        return EXPIRED
    others = [f"{number} {what}" for what, number in found.items() if what not in {ALIVE, LOST}]
    return ", ".join([f"{found[LOST]} of {found.total()}", *others])


def _lost_by_pace(results: list[Result]) -> str:
    told = [_lost([result for result in results if result.pace == pace]) for pace in _paces(results)]
    return EXPIRED if set(told) == {EXPIRED} else " · ".join(told)


def _paces(results: Iterable[Result]) -> list[float]:
    return sorted({result.pace for result in results})


def _words(pace: float) -> str:
    return f"{pace * 1000:.0f} ms" if pace else "at once"


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(_lines([head, ["---"] * len(head), *rows]))


def _lines(rows: list[list[str]]) -> Iterator[str]:
    for row in rows:
        yield f"| {' | '.join(row)} |"


def write_page(tables: str) -> None:
    """Puts the tables between the marks of the page, and leaves what is around them."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}")
