"""An operator stops the use of Salesforce, and every process feels it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests
from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.db import OperationalError, connection, transaction

from django_sf_oauth.exceptions import TemporarilyUnavailable
from django_sf_oauth.models import Hold, SalesforceConnection
from django_sf_oauth.models import kill_switch as module
from django_sf_oauth.models.kill_switch import FELT_WITHIN, KillSwitch
from django_sf_oauth.testing import FakeSalesforce
from tests.factories import make_connection

pytestmark = pytest.mark.django_db

committed = pytest.mark.django_db(transaction=True)

SOON = 60.0  # seconds; nothing here takes so long, but a machine may be busy


def stop(scope: str = "all") -> Hold:
    return Hold.objects.create(scope=scope, reason="incident")


def stop_elsewhere(scope: str = "all") -> None:
    """As another process does: this one hears of no signal."""
    Hold.objects.bulk_create([Hold(scope=scope, reason="incident")])


def is_stopped(check: Callable[[], object]) -> bool:
    try:
        check()
    except TemporarilyUnavailable as error:
        return error.code == "stopped"
    return False


class Clock:
    """Stands for the module ``time``."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry per look at the database."""
    looks: list[str] = []

    def counted() -> frozenset[str]:
        looks.append(threading.current_thread().name)
        return look()

    look = module._stopped
    monkeypatch.setattr(module, "_stopped", counted)
    return looks


# What it stops


async def call_asynchronously(row: SalesforceConnection) -> None:
    async with row.async_client() as client:
        await client.get("limits")


USES: dict[str, Callable[[SalesforceConnection], object]] = {
    "bearer": lambda row: row.bearer(),
    "valid access token": lambda row: row.valid_access_token(),
    "client": lambda row: row.client().get("limits"),
    "auth": lambda row: requests.get(f"{row.instance_url}/services/data/", auth=row.auth(), timeout=1),
    "refresh": lambda row: row.refresh(),
    "bearer in async code": lambda row: async_to_sync(row.abearer)(),
    "async client": lambda row: async_to_sync(call_asynchronously)(row),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_a_connection_whose_access_token_lives_is_not_used(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection, use: Any
) -> None:
    stop()

    assert is_stopped(lambda: use(salesforce_connection))
    assert fake_salesforce.requests == []


@pytest.mark.parametrize(
    ("scope", "stopped"),
    [
        ("all", True),
        ("app:default", True),
        ("app:other", False),
        ("org:00D000000000001EAA", True),
        ("org:00D000000000002EAA", False),
        ("host:login.salesforce.com", False),
        ("fleet:default", False),
        ("alarm:default", False),
    ],
)
def test_it_stops_what_is_in_its_scope(scope: str, stopped: bool) -> None:
    row = make_connection(organization_id="00D000000000001EAA")
    stop(scope)

    assert is_stopped(row.bearer) is stopped


def test_its_error_says_when_to_come_again_and_whose_fault_it_is_not() -> None:
    row = make_connection()
    stop()

    with pytest.raises(TemporarilyUnavailable, match="operator") as caught:
        row.bearer()

    error = caught.value
    assert (error.code, error.connection_id, error.retry_after) == ("stopped", row.uuid, module.RETRY_AFTER)
    assert error.retryable


def test_lifting_it_is_felt_at_once_where_it_is_done() -> None:
    row = make_connection()
    hold = stop()
    assert is_stopped(row.bearer)

    hold.delete()

    assert not is_stopped(row.bearer)


# From one test to the next


def test_a_test_case_sees_its_own_holds_and_leaves_none_behind(looks: list[str]) -> None:
    row = make_connection()
    stop()
    assert is_stopped(row.bearer)
    Hold.objects.all()._raw_delete("default")  # as a rollback: without signals

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "open_test_case", lambda alias: "the next test case")
        assert not is_stopped(row.bearer)

    assert looks == [threading.current_thread().name] * 2


def test_a_test_case_that_made_no_hold_counts_its_own_queries_alone(
    looks: list[str], django_assert_num_queries: Any
) -> None:
    row = make_connection()
    switch = KillSwitch()

    with django_assert_num_queries(0):
        switch.check(row)

    assert looks == []


@committed
def test_a_flush_between_two_tests_is_noticed() -> None:
    stop()
    assert is_stopped(make_connection().bearer)

    call_command("flush", interactive=False, verbosity=0)

    assert not is_stopped(make_connection().bearer)


# From memory


@committed
def test_a_use_soon_after_another_costs_no_query(
    looks: list[str], clock: Clock, django_assert_num_queries: Any
) -> None:
    row = make_connection()
    switch = KillSwitch()
    switch.check(row)

    clock.now += FELT_WITHIN * 0.99
    with django_assert_num_queries(0):
        for _ in range(100):
            switch.check(row)

    assert len(looks) == 1


@committed
def test_what_another_process_did_is_felt_when_the_time_is_over(clock: Clock) -> None:
    row = make_connection()
    switch = KillSwitch()
    switch.check(row)

    stop_elsewhere()
    before = is_stopped(lambda: switch.check(row))
    clock.now += FELT_WITHIN
    after = is_stopped(lambda: switch.check(row))

    assert FELT_WITHIN < 5
    assert (before, after) == (False, True)


@committed
def test_many_threads_at_once_look_once(looks: list[str], clock: Clock) -> None:
    row = make_connection()
    switch = KillSwitch()
    gate = threading.Barrier(8)

    def use() -> None:
        gate.wait(SOON)
        switch.check(row)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)

    assert len(looks) == 1


@committed
def test_a_transaction_that_repeats_its_reads_feels_it(looks: list[str], clock: Clock) -> None:
    row = make_connection()
    switch = KillSwitch()
    with transaction.atomic():
        Hold.objects.exists()  # from here on this transaction may see the holds of this moment only

        switch.check(row)

    assert [name.startswith("sf-oauth-holds") for name in looks] == [True]


@committed
@pytest.mark.parametrize("known", [True, False], ids=["stopped", "open"])
def test_while_the_database_is_down_what_was_known_holds_on(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, known: bool
) -> None:
    row = make_connection()
    if known:
        stop()
    switch = KillSwitch()
    assert is_stopped(lambda: switch.check(row)) is known
    look = module._stopped

    def down() -> frozenset[str]:
        raise OperationalError("host 10.1.2.3 is down")

    monkeypatch.setattr(module, "_stopped", down)
    clock.now += FELT_WITHIN
    meanwhile = is_stopped(lambda: switch.check(row))
    monkeypatch.setattr(module, "_stopped", look)
    Hold.objects.all()._raw_delete("default")
    clock.now += FELT_WITHIN
    afterwards = is_stopped(lambda: switch.check(row))

    assert (meanwhile, afterwards) == (known, False)
    assert "event=holds_unknown error=OperationalError" in caplog.text
    assert "10.1.2.3" not in caplog.text


@committed
def test_nobody_waits_long_for_a_look_that_hangs(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, looks: list[str]
) -> None:
    """As behind a pool of connections all of which are held by those who wait."""
    row = make_connection()
    switch = KillSwitch()
    switch.check(row)
    monkeypatch.setattr(module, "LONGEST_LOOK", 0.01)
    there_is_a_connection = threading.Event()
    look = module._stopped

    def hangs() -> frozenset[str]:
        there_is_a_connection.wait(SOON)
        return look()

    monkeypatch.setattr(module, "_stopped", hangs)
    stop_elsewhere()
    for _ in range(3):
        clock.now += FELT_WITHIN
        assert not is_stopped(lambda: switch.check(row))
    there_is_a_connection.set()
    switch._thread.submit(int).result(SOON)  # it has landed
    monkeypatch.setattr(module, "LONGEST_LOOK", SOON)
    clock.now += FELT_WITHIN

    assert is_stopped(lambda: switch.check(row))
    assert len(looks) == 3  # those that waited have waited for one


@committed
def test_a_stop_is_felt_although_each_look_is_slower_than_anybody_waits(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make_connection()
    switch = KillSwitch()
    switch.check(row)
    monkeypatch.setattr(module, "LONGEST_LOOK", 0.01)
    nobody_waits = threading.Event()
    look = module._stopped

    def slow() -> frozenset[str]:
        nobody_waits.wait(SOON)
        return look()

    monkeypatch.setattr(module, "_stopped", slow)
    stop_elsewhere()
    felt = []
    for _ in range(2):
        nobody_waits.clear()
        clock.now += FELT_WITHIN
        felt.append(is_stopped(lambda: switch.check(row)))
        nobody_waits.set()
        switch._thread.submit(int).result(SOON)  # it has landed
        felt.append(is_stopped(lambda: switch.check(row)))
        Hold.objects.all()._raw_delete("default")

    assert felt == [False, True, True, False]


@committed
def test_nobody_waits_long_for_another_thread_that_looks(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    row = make_connection()
    switch = KillSwitch()
    switch.check(row)
    monkeypatch.setattr(module, "LONGEST_LOOK", 0.01)
    stop_elsewhere()
    clock.now += FELT_WITHIN

    with switch._lock:
        assert not is_stopped(lambda: switch.check(row))

    monkeypatch.setattr(module, "LONGEST_LOOK", SOON)
    assert is_stopped(lambda: switch.check(row))


# Processes


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603  # our own interpreter, our own module
        [sys.executable, "-W", "error", "-m", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@committed
def test_a_process_that_knew_better_feels_it_in_time() -> None:
    row = make_connection()
    database = str(connection.settings_dict["NAME"])
    with start("tests.models.onlooker", database, str(row.pk)) as process:
        assert process.stdin
        assert process.stdout

        def ask(word: str) -> str:
            assert process.stdin
            assert process.stdout
            process.stdin.write(f"{word}\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        before = ask("use")
        hold = stop()
        felt = [ask("use"), ask("later"), ask("use")]
        hold.delete()
        lifted = [ask("use"), ask("later"), ask("use")]
        process.stdin.close()

    assert before == "used"
    assert felt == ["used", f"{FELT_WITHIN} seconds later", "stopped"]
    assert lifted == ["stopped", f"{FELT_WITHIN} seconds later", "used"]
    assert process.returncode == 0


def test_a_forked_child_looks_for_itself() -> None:
    with start("tests.models.forking") as process:
        said, _ = process.communicate(timeout=SOON)

    assert (process.returncode, said) == (0, "parent stopped\n")
