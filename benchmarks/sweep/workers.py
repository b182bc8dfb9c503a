"""Four sweeps at once, each in a process of its own."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from .site import let_be_due, set_up

__all__ = ["claiming_side_by_side", "work"]

WORKERS = 4
ROUNDS = 2


def claiming_side_by_side(due: int) -> float:
    """Rows a second, all together: the median of its rounds."""
    workers = [_start(due) for _ in range(WORKERS)]
    try:
        for worker in workers:
            _hear(worker)
        rates = [_round(workers, due) for _ in range(ROUNDS + 1)]
        return statistics.median(rates[1:])
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def _round(workers: list[subprocess.Popen[str]], due: int) -> float:
    let_be_due()
    started = time.perf_counter()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("sweep\n")
        worker.stdin.flush()
    handed_over = sum(_hear(worker) for worker in workers)
    assert handed_over == due, handed_over
    return due / (time.perf_counter() - started)


def work(due: int) -> None:
    """Answers each line when a sweep has ended with how much it handed over."""
    set_up()
    from django_sf_oauth.services.sweep import refresh_due

    refresh_due(lambda ids: None, limit=0)  # all that has to be imported and opened
    print(0, flush=True)
    for _ in sys.stdin:
        print(refresh_due(lambda ids: None, limit=due), flush=True)


def _start(due: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.sweep", "work", str(due)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)  # noqa: S603  # ourselves


def _hear(worker: subprocess.Popen[str]) -> int:
    assert worker.stdout is not None
    return int(worker.stdout.readline())
