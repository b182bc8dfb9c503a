"""Installs the peers, races everybody, prints the table and writes it into the documentation.

The page is written when all peers took part. The exit status is 0 if ours made one token request, failed nobody
and lost nothing in every race; 1 if not; 2 if somebody could not be measured.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from .databases import DATABASES, NoDatabase
from .environments import Environments
from .peers import OURS, PEERS, Peer
from .race import measure
from .table import Measured, is_as_promised, label, markdown, write_page
from .team import DriverFailed

DRIVERS = sorted({peer.driver for peer in PEERS})


def main() -> int:
    options = read_options()
    peers = [peer for peer in PEERS if peer.driver in options.peers]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # cleans up, as Ctrl-C does
    try:
        measured = measure_all([OURS, *peers], runs=options.runs)
    except (DriverFailed, NoDatabase, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        return 2
    tables = markdown(measured)
    if len(peers) == len(PEERS):
        write_page(tables)
    print(as_json(measured) if options.json else tables)
    return 0 if is_as_promised(measured) else 1


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.twenty_at_once", description=__doc__)
    parser.add_argument(
        "--peers", type=names, default=DRIVERS, help=f"only these beside ours, of {','.join(DRIVERS)}"
    )
    parser.add_argument("--runs", type=positive, default=3, help="races for each cell of the table (default 3)")
    parser.add_argument("--json", action="store_true", help="print every race as JSON rather than the table")
    return parser.parse_args()


def names(text: str) -> list[str]:
    wanted = [name for name in text.split(",") if name]
    if unknown := set(wanted) - set(DRIVERS):
        raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}")
    return wanted


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least one")
    return number


def measure_all(peers: list[Peer], *, runs: int) -> Measured:
    """Races each peer on each database, one after the other."""
    measured: Measured = {}
    with tempfile.TemporaryDirectory(prefix="twenty-at-once-") as folder:
        environments = Environments(Path(folder))
        for peer in peers:
            python = environments.python(peer)
            for database in DATABASES:
                print(f"{label(peer)}: {database}", file=sys.stderr)
                measured.update(measure(peer, python, database, runs=runs))
    return measured


def as_json(measured: Measured) -> str:
    races = [
        {
            "peer": cell.peer.package,
            "way": cell.peer.way,
            "database": cell.database,
            "layout": cell.layout,
            "replay": cell.replay,
            "pace": result.pace,
            "requests": result.requests,
            "failed": result.failed,
            "fared": result.fared,
            "afterwards": result.afterwards,
        }
        for cell, results in measured.items()
        for result in results
    ]
    return json.dumps(races, indent=2)


if __name__ == "__main__":
    sys.exit(main())
