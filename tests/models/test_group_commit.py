from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from unittest.mock import patch

import pytest
from django.db import OperationalError, connections

from django_sf_oauth.models import group_commit
from django_sf_oauth.models.group_commit import LARGEST, GroupCommit
from django_sf_oauth.models.update_row import RowUpdate
from tests.races.site import wait_for

SOON = 10.0  # seconds; nothing here takes so long
CLAIM, STORE = ("lease_owner",), ("access_token",)


def update(pk: int, names: tuple[str, ...] = CLAIM) -> RowUpdate:
    return RowUpdate(pk=pk, values=dict.fromkeys(names, 1), fence={"generation": 1})


class Database:
    """Writes while the test lets it, and remembers what was written together."""

    def __init__(self) -> None:
        self.may_write = threading.Event()
        self.begun = threading.Semaphore(0)
        self.groups: list[list[int]] = []
        self.threads: set[str] = set()
        self.refuses: Collection[int] = ()
        self.errors: list[Exception] = []

    def __call__(self, updates: Sequence[RowUpdate]) -> set[int]:
        self.threads.add(threading.current_thread().name)
        self.groups.append([update.pk for update in updates])
        self.begun.release()
        assert self.may_write.wait(SOON)
        if self.errors:
            raise self.errors.pop()
        return {update.pk for update in updates if update.pk not in self.refuses}


@pytest.fixture
def database() -> Iterator[Database]:
    database = Database()
    yield database
    database.may_write.set()


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(LARGEST + 10) as threads:
        yield threads


def ask_while_busy(
    commits: GroupCommit, database: Database, callers: ThreadPoolExecutor, *updates: RowUpdate
) -> list[bool]:
    """Lets them come while a first one is being written, one after the other."""
    first = callers.submit(commits.update, update(0))
    assert database.begun.acquire(timeout=SOON)
    waiting: list[Future[bool]] = []
    for number, one in enumerate(updates, start=1):
        waiting.append(callers.submit(commits.update, one))
        wait_for_queue(commits, number)
    database.may_write.set()
    assert first.result(SOON)
    return [future.result(SOON) for future in waiting]


def wait_for_queue(commits: GroupCommit, length: int) -> None:
    wait_for(lambda: len(commits._queue) == length)


def test_what_comes_while_it_writes_goes_into_the_next_commit(
    database: Database, callers: ThreadPoolExecutor
) -> None:
    commits = GroupCommit(database)

    assert ask_while_busy(commits, database, callers, update(1), update(2), update(3)) == [True] * 3

    assert [sorted(group) for group in database.groups] == [[0], [1, 2, 3]]
    assert len(database.threads) == 1


def test_each_caller_hears_of_its_own_row(database: Database, callers: ThreadPoolExecutor) -> None:
    database.refuses = {2}

    assert ask_while_busy(GroupCommit(database), database, callers, update(1), update(2)) == [True, False]


def test_two_updates_of_one_row_are_two_commits_in_order(database: Database, callers: ThreadPoolExecutor) -> None:
    updates = update(2, STORE), update(1), update(1, STORE), update(3, STORE)

    assert ask_while_busy(GroupCommit(database), database, callers, *updates) == [True] * 4

    assert [sorted(group) for group in database.groups] == [[0], [2, 3], [1], [1]]


def test_claims_and_stores_are_commits_of_their_own(database: Database, callers: ThreadPoolExecutor) -> None:
    """Else a claim could be lost with a store that failed."""
    updates = update(1), update(2, STORE)

    ask_while_busy(GroupCommit(database), database, callers, *updates)

    assert sorted(database.groups) == [[0], [1], [2]]


@pytest.fixture
def all_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written before as many have come as wrote together, however slow this machine is."""
    monkeypatch.setattr(group_commit, "RETURN", 10 * SOON)
    monkeypatch.setattr(group_commit, "LONGEST_RETURN", 10 * SOON)


@pytest.fixture(autouse=True)
def does_not_end_between_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for a moment must not make a group's thread forget it."""
    monkeypatch.setattr(group_commit, "KEEP", 3.0)


@pytest.mark.usefixtures("all_come_back")
def test_those_who_wrote_together_are_waited_for(database: Database, callers: ThreadPoolExecutor) -> None:
    commits = GroupCommit(database)
    ask_while_busy(commits, database, callers, update(1), update(2), update(3))

    back = [callers.submit(commits.update, update(pk, STORE)) for pk in (1, 2)]
    wait_for_queue(commits, 2)
    back.append(callers.submit(commits.update, update(3, STORE)))

    assert [future.result(SOON) for future in back] == [True] * 3
    assert [sorted(group) for group in database.groups] == [[0], [1, 2, 3], [1, 2, 3]]


@pytest.mark.usefixtures("all_come_back")
def test_who_is_served_first_joins_those_that_still_wait(database: Database, callers: ThreadPoolExecutor) -> None:
    """Else a claim and nine stores would be two commits for ever, where one is enough."""
    commits = GroupCommit(database)
    first = callers.submit(commits.update, update(0))
    assert database.begun.acquire(timeout=SOON)
    claim = callers.submit(commits.update, update(1))
    wait_for_queue(commits, 1)
    store = callers.submit(commits.update, update(2, STORE))
    wait_for_queue(commits, 2)
    database.may_write.set()
    assert first.result(SOON)
    assert claim.result(SOON)

    assert commits.update(update(1, STORE))

    assert store.result(SOON)
    assert [sorted(group) for group in database.groups] == [[0], [1], [1, 2]]


@pytest.mark.usefixtures("all_come_back")
def test_who_comes_alone_waits_for_nobody(database: Database, callers: ThreadPoolExecutor) -> None:
    commits = GroupCommit(database)
    database.may_write.set()

    assert [callers.submit(commits.update, update(pk)).result(SOON) for pk in (1, 2)] == [True] * 2

    assert database.groups == [[1], [2]]


def test_those_who_did_not_come_back_are_waited_for_no_longer(
    database: Database, callers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = GroupCommit(database)
    ask_while_busy(commits, database, callers, update(1), update(2), update(3))
    assert callers.submit(commits.update, update(4)).result(SOON)  # after a moment, in which nobody else came
    monkeypatch.setattr(group_commit, "RETURN", 10 * SOON)
    monkeypatch.setattr(group_commit, "LONGEST_RETURN", 10 * SOON)

    assert callers.submit(commits.update, update(5)).result(SOON)

    assert [sorted(group) for group in database.groups] == [[0], [1, 2, 3], [4], [5]]


def test_the_fewer_they_were_the_less_they_are_waited_for(
    database: Database, callers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "RETURN", 0.0)
    monkeypatch.setattr(group_commit, "LONGEST_RETURN", 10 * SOON)
    commits = GroupCommit(database)
    ask_while_busy(commits, database, callers, update(1), update(2), update(3))

    assert callers.submit(commits.update, update(4)).result(SOON)

    assert [sorted(group) for group in database.groups] == [[0], [1, 2, 3], [4]]


def test_who_does_not_come_back_stops_nobody(database: Database, callers: ThreadPoolExecutor) -> None:
    commits = GroupCommit(database)
    ask_while_busy(commits, database, callers, update(1), update(2), update(3))

    assert callers.submit(commits.update, update(4)).result(SOON)

    assert [sorted(group) for group in database.groups] == [[0], [1, 2, 3], [4]]


def test_a_commit_has_a_bounded_number_of_rows(database: Database, callers: ThreadPoolExecutor) -> None:
    updates = [update(pk) for pk in range(1, LARGEST + 6)]

    assert all(ask_while_busy(GroupCommit(database), database, callers, *updates))

    assert [len(group) for group in database.groups] == [1, LARGEST, 5]


def test_a_commit_that_fails_is_told_and_the_next_one_goes_on(
    database: Database, callers: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    commits = GroupCommit(database)
    database.errors.append(OperationalError("password=secret"))
    database.may_write.set()

    assert not commits.update(update(1))
    assert commits.update(update(1))

    assert "group_commit_failed" in caplog.text
    assert "secret" not in caplog.text


def test_a_commit_that_never_ends_leaves_the_others_to_their_callers(
    database: Database, callers: ThreadPoolExecutor
) -> None:
    """A server that is gone without a word: what comes after that must not be lost with it."""
    commits = GroupCommit(database, patience=1.0)
    stuck = callers.submit(commits.update, update(1))
    assert database.begun.acquire(timeout=SOON)

    refused = [commits.update(update(2)), stuck.result(SOON)]
    database.may_write.set()
    wait_for_queue(commits, 0)

    assert refused == [False, False]
    assert commits.update(update(3))
    assert database.groups == [[1], [3]]


def test_a_connection_that_cannot_be_closed_stops_nobody(database: Database) -> None:
    commits = GroupCommit(database)
    database.errors.append(OperationalError())
    database.may_write.set()

    with patch.object(connections, "close_all", side_effect=ValueError("of another pool")):
        assert not commits.update(update(1))
        assert commits.update(update(2))


def test_its_connections_are_closed_when_nobody_comes_any_more(database: Database) -> None:
    commits = GroupCommit(database)
    database.may_write.set()
    closed = threading.Event()

    with patch.object(connections, "close_all", side_effect=closed.set):
        assert commits.update(update(1))
        assert closed.wait(SOON)

    assert commits.update(update(2))


def test_a_forked_child_writes_on_a_thread_of_its_own(database: Database) -> None:
    commits = GroupCommit(database)
    database.may_write.set()
    commits.update(update(1))
    before = commits._thread

    commits.start_over()

    assert commits._thread is not before
    assert commits.update(update(2))


def may() -> bool:
    return True


@pytest.fixture
def nobody_just_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "KEEP", 0.0)


@pytest.mark.usefixtures("nobody_just_wrote")
def test_who_is_alone_and_urgent_writes_on_its_own_thread(database: Database) -> None:
    commits = GroupCommit(database)
    database.may_write.set()

    assert [commits.update(update(pk), enter=may) for pk in (1, 2)] == [True, True]

    assert database.threads == {threading.current_thread().name}


def test_who_may_not_write_itself_leaves_it_to_the_thread(database: Database) -> None:
    commits = GroupCommit(database)
    database.may_write.set()

    assert commits.update(update(1), enter=lambda: False)

    assert threading.current_thread().name not in database.threads


def test_what_follows_at_once_goes_to_the_thread_which_keeps_its_connection(database: Database) -> None:
    """Else a process that refreshes twenty a second would open a connection for each."""
    commits = GroupCommit(database)
    database.may_write.set()

    assert [commits.update(update(pk), enter=may) for pk in (1, 2, 3)] == [True] * 3

    assert len(database.threads) == 2


def test_what_comes_while_somebody_writes_alone_goes_together(
    database: Database, callers: ThreadPoolExecutor
) -> None:
    """Else a hundred that are refreshed at once would take as many connections."""
    commits = GroupCommit(database)
    first = callers.submit(commits.update, update(0), enter=may)
    assert database.begun.acquire(timeout=SOON)

    second = callers.submit(commits.update, update(1), enter=may)
    assert database.begun.acquire(timeout=SOON)  # on the thread for all
    waiting = [callers.submit(commits.update, update(pk), enter=may) for pk in (2, 3)]
    wait_for_queue(commits, 2)
    database.may_write.set()

    assert all(future.result(SOON) for future in (first, second, *waiting))
    assert [sorted(group) for group in database.groups] == [[0], [1], [2, 3]]
    assert len(database.threads) == 2


def test_nobody_writes_alone_while_the_thread_for_all_is_there(
    database: Database, callers: ThreadPoolExecutor
) -> None:
    commits = GroupCommit(database)
    ask_while_busy(commits, database, callers, update(1), update(2))

    with patch.object(commits, "_ended_at", 0.0):
        assert callers.submit(commits.update, update(3), enter=may).result(SOON)

    assert len(database.threads) == 1


@pytest.mark.usefixtures("nobody_just_wrote")
def test_who_failed_alone_keeps_nobody_from_it(database: Database) -> None:
    commits = GroupCommit(database)
    database.may_write.set()
    database.errors.append(OperationalError())

    assert [commits.update(update(pk), enter=may) for pk in (1, 2)] == [False, True]

    assert database.threads == {threading.current_thread().name}


def test_a_forked_child_does_not_wait_for_who_wrote_alone_in_its_parent(
    database: Database, callers: ThreadPoolExecutor
) -> None:
    commits = GroupCommit(database)
    in_parent = callers.submit(commits.update, update(1), enter=may)
    assert database.begun.acquire(timeout=SOON)

    commits.start_over()
    database.may_write.set()

    assert commits.update(update(2), enter=may)
    assert threading.current_thread().name in database.threads
    assert in_parent.result(SOON)


def test_a_process_that_ends_refuses_and_does_not_hang() -> None:
    ended = subprocess.run(  # our own interpreter, our own module
        [sys.executable, "-m", "tests.models.ending"], capture_output=True, text=True, timeout=60, check=True
    )

    assert ended.stdout == "False\n"
