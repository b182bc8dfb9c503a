from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, InterfaceError, OperationalError
from django.test import override_settings

from django_sf_oauth.conf import get_app
from django_sf_oauth.exceptions import ConfigurationError
from django_sf_oauth.fields import Sealed
from django_sf_oauth.grants.breaker import FailuresInARow
from django_sf_oauth.grants.contract import Gate, Grant, Outcome, Status
from django_sf_oauth.grants.pace import LONGEST, SHORTEST, Pace
from django_sf_oauth.grants.refresh import CLAIM_TRIES, RETRY, SHORT, Refresher
from django_sf_oauth.protocol.errors import Actor, Refusal
from django_sf_oauth.protocol.tokens import TokenAnswer

from .memory import EPOCH, KEY, Clock, Lease, MemoryStore, ScriptedAsk, grant, sealed

NEW = TokenAnswer(access_token="access-2", refresh_token="refresh-2")
NEWER = TokenAnswer(access_token="access-3", refresh_token="refresh-3")
REVOKED = Refusal(actor=Actor.USER, reason="revoked", status=400)
TIMEOUT = Refusal(actor=Actor.NOBODY, reason="timeout", answer_lost=True)


class World:
    """A row, a Salesforce and a clock."""

    def __init__(self, *answers: TokenAnswer | Refusal | Exception) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.ask = ScriptedAsk(self.store, *answers)

        self.refresher = Refresher(
            store=self.store,
            ask=self.ask,
            sleep=self.clock.sleep,
            clock=self.clock.read,
            failures=FailuresInARow(),
        )

    def refresh(
        self, generation: int = 1, *, forced: bool = False, ahead: bool = False, seen: Grant | None = None
    ) -> Outcome:
        return self.refresher(KEY, generation, forced=forced, ahead=ahead, seen=seen)

    @property
    def refresh_token(self) -> str:
        assert self.store.row is not None
        return reveal(self.store.row.refresh_token)

    def hold_the_lease(self, seconds: float) -> None:
        self.store.lease = Lease(uuid4(), self.clock.now + seconds)


def reveal(value: Sealed | None) -> str:
    assert value is not None
    return value.reveal()


def test_a_refresh_spends_the_token_once_and_stores_both() -> None:
    world = World(NEW)

    outcome = world.refresh()

    assert world.ask.spent == ["refresh-1"]
    assert (outcome.kind, outcome.grant) == ("renewed", world.store.row)
    assert outcome.grant is not None
    assert outcome.grant.generation == 2
    assert reveal(outcome.grant.access_token) == "access-2"
    assert reveal(outcome.grant.refresh_token) == "refresh-2"
    assert world.store.lease is None


def test_an_answer_without_a_refresh_token_keeps_the_old_one() -> None:
    world = World(TokenAnswer(access_token="access-2"))

    outcome = world.refresh()

    assert outcome.grant is not None
    assert reveal(outcome.grant.refresh_token) == "refresh-1"


def test_a_newer_generation_is_used_and_nobody_is_asked() -> None:
    world = World()
    world.store.row = grant(generation=8)

    outcome = world.refresh(7)

    assert (outcome.kind, outcome.grant) == ("renewed", world.store.row)
    assert world.ask.spent == []


@pytest.mark.parametrize(
    "row",
    [None, grant(status=Status.DISCONNECTED), grant(refresh_token=None)],
    ids=["deleted", "disconnected", "no-refresh-token"],
)
def test_what_is_gone_is_not_asked_for(row: object) -> None:
    world = World()
    world.store.row = row  # type: ignore[assignment]  # of the table above

    assert world.refresh(forced=True) == Outcome(kind="gone", grant=world.store.row)


flagged = pytest.mark.parametrize(
    ("status", "kind"), [(Status.RECONNECT_REQUIRED, "dead"), (Status.BLOCKED, "blocked")]
)


@flagged
def test_a_flagged_connection_is_left_alone(status: Status, kind: str) -> None:
    world = World()
    world.store.row = grant(status=status, reason="why", generation=2, retry_in=60.0)

    outcome = world.refresh()

    assert (outcome.kind, outcome.reason, outcome.grant) == (kind, "why", world.store.row)


def test_a_blocked_connection_is_probed_when_its_back_off_has_ended() -> None:
    world = World(NEW)
    world.store.row = grant(status=Status.BLOCKED, reason="app_blocked", generation=2, retry_in=0.0)

    outcome = world.refresh()

    assert (outcome.kind, world.store.row.status) == ("renewed", Status.ACTIVE)


@flagged
def test_a_flagged_connection_is_tried_when_somebody_asks_for_it(status: Status, kind: str) -> None:
    world = World(NEW)
    world.store.row = grant(status=status, reason="why", generation=2)

    outcome = world.refresh(forced=True)

    assert (outcome.kind, world.store.row.status) == ("renewed", Status.ACTIVE)


@pytest.mark.parametrize("forced", [False, True])
def test_a_hold_stops_even_those_who_insist(forced: bool) -> None:
    world = World()
    world.store.gates.append(Gate(closed="stopped", retry_after=7.0))

    outcome = world.refresh(forced=forced)

    assert outcome == Outcome(kind="unavailable", reason="stopped", retry_after=7.0)
    assert world.ask.spent == []


def test_a_back_off_is_kept_and_told() -> None:
    world = World()
    world.store.row = grant(retry_in=12.5)

    outcome = world.refresh()

    assert (outcome.kind, outcome.reason, outcome.retry_after) == ("unavailable", "backing_off", 12.5)


def test_who_insists_skips_the_back_off() -> None:
    world = World(NEW)
    world.store.row = grant(retry_in=12.5)

    assert world.refresh(forced=True).kind == "renewed"


def test_while_another_holds_the_lease_one_waits_for_its_generation() -> None:
    world = World()
    world.hold_the_lease(90)

    def win() -> None:
        if len(world.clock.naps) == 3:
            world.store.row = grant(generation=2)

    world.clock.on_sleep = win

    outcome = world.refresh()

    assert (outcome.kind, world.ask.spent) == ("renewed", [])
    first, *looks = world.clock.naps
    assert Pace().expected < first < 2 * Pace().expected
    assert all(SHORTEST / 2 <= nap <= LONGEST * 1.5 for nap in looks)


def test_no_connection_is_held_while_one_waits_for_longer_than_it_takes_to_open_one() -> None:
    world = World()
    world.hold_the_lease(10_000)
    held: dict[float, bool] = {}
    world.clock.on_sleep = lambda: held.update({world.clock.naps[-1]: world.store.open})

    world.refresh()

    longer = [is_open for nap, is_open in held.items() if nap > world.store.keeps_for()]
    assert len(longer) > 100
    assert not any(longer)


def test_a_lease_that_never_ends_is_not_waited_for_for_ever() -> None:
    world = World()
    world.hold_the_lease(10_000)

    outcome = world.refresh()

    assert (outcome.kind, outcome.reason, world.ask.spent) == ("unavailable", "busy", [])
    assert world.clock.now == pytest.approx(98)


def test_an_insistent_caller_waits_for_the_lease_too() -> None:
    world = World()
    world.hold_the_lease(10_000)

    assert world.refresh(forced=True).reason == "busy"


@pytest.mark.parametrize("error", [DatabaseError("locked"), InterfaceError("closed")], ids=repr)
def test_a_claim_that_cannot_be_written_spends_nothing(error: Exception) -> None:
    world = World()
    world.store.fails("claim", times=1000, error=error)

    outcome = world.refresh()

    assert (outcome.kind, outcome.reason, outcome.retry_after) == ("unavailable", "row_locked", 1.0)
    assert world.ask.spent == []
    assert CLAIM_TRIES <= world.clock.now < CLAIM_TRIES + RETRY[1]


def test_a_claim_that_another_transaction_has_spoiled_is_tried_again() -> None:
    world = World(NEW)
    world.store.fails("claim", error=OperationalError("could not serialize access due to concurrent update"))

    assert world.refresh().kind == "renewed"
    assert world.ask.spent == ["refresh-1"]


@pytest.mark.parametrize("step", ["read", "gate"])
def test_a_row_that_cannot_be_read_now_is_no_error_of_the_database(step: str) -> None:
    world = World()
    world.store.fails(step)

    assert world.refresh() == Outcome(kind="unavailable", reason="database_unavailable", retry_after=1.0)


@pytest.mark.parametrize(
    "error", [DatabaseError("gone away"), InterfaceError("closed"), TimeoutError("of a vault")], ids=repr
)
def test_an_answer_is_stored_although_the_database_fails_at_that_moment(error: Exception) -> None:
    world = World(NEW)
    world.store.fails("store", times=3, error=error)

    outcome = world.refresh()

    assert (outcome.kind, world.ask.spent) == ("renewed", ["refresh-1"])
    assert world.refresh_token == "refresh-2"


def test_an_answer_that_cannot_be_stored_leaves_the_generation_in_doubt() -> None:
    world = World(NEW, REVOKED)
    world.store.fails("store", times=10_000)

    outcome = world.refresh()

    assert (outcome.kind, outcome.reason) == ("unavailable", "store_failed")
    assert world.store.lease is not None
    assert world.refresh().reason == "rotation_lost"


def test_a_refusal_is_written_although_the_database_fails_at_that_moment() -> None:
    world = World(REVOKED)
    world.store.fails("fail", times=2)

    assert world.refresh().kind == "dead"
    assert [verdict.reason for verdict in world.store.verdicts] == ["revoked"]


def test_a_dead_grant_is_believed_at_once() -> None:
    world = World(REVOKED)

    outcome = world.refresh()

    assert (outcome.kind, outcome.reason) == ("dead", "revoked")
    assert outcome.grant is not None
    assert (outcome.grant.status, outcome.grant.reason) == (Status.RECONNECT_REQUIRED, "revoked")


def test_a_failure_that_passes_changes_no_status() -> None:
    world = World(Refusal(actor=Actor.NOBODY, reason="rate_limited", retry_after=30.0))

    outcome = world.refresh()

    assert (outcome.kind, outcome.retry_after) == ("unavailable", 30.0)
    assert outcome.grant is not None
    assert outcome.grant.status == Status.ACTIVE


def test_a_token_that_no_key_opens_is_not_sent() -> None:
    world = World()
    world.store.row = grant(refresh_token=Sealed(b"garbage"))

    outcome = world.refresh()

    assert (outcome.kind, outcome.reason, world.ask.spent) == ("dead", "unreadable", [])


def test_a_token_that_vanished_before_the_claim_is_not_sent() -> None:
    world = World()
    world.store.vanished = True

    assert world.refresh().reason == "unreadable"
    assert world.ask.spent == []


def test_a_mistake_in_the_settings_is_the_operators() -> None:
    world = World(ConfigurationError(code="untrusted_host"))

    outcome = world.refresh()

    assert (outcome.kind, outcome.reason) == ("misconfigured", "untrusted_host")
    assert world.store.row is not None
    assert world.store.row.status == Status.ACTIVE


def test_an_app_that_is_not_in_the_settings_any_more_says_so() -> None:
    world = World()
    world.store.row = grant(app="removed")

    with pytest.raises(ConfigurationError, match="removed"):
        world.refresh()


# Interleavings: what others do while this worker waits for Salesforce.


def test_a_disconnect_during_a_refresh_wins() -> None:
    world = World(NEW)
    world.ask.meanwhile = world.store.disconnect

    outcome = world.refresh()

    assert (outcome.kind, world.store.discarded) == ("gone", [NEW])
    assert world.store.row is not None
    assert world.store.row.access_token is None


def test_a_deletion_during_a_refresh_is_survived() -> None:
    world = World(NEW)

    def delete() -> None:
        world.store.row = None

    world.ask.meanwhile = delete

    assert world.refresh() == Outcome(kind="gone")


def test_a_reconnect_during_a_refresh_is_adopted() -> None:
    world = World(NEW)

    def reconnect() -> None:
        world.store.row = grant(generation=2, access_token=sealed("reconnected"))
        world.store.lease = None

    world.ask.meanwhile = reconnect

    outcome = world.refresh()

    assert outcome.kind == "renewed"
    assert outcome.grant is not None
    assert reveal(outcome.grant.access_token) == "reconnected"


def test_a_refusal_is_not_believed_when_another_worker_has_won() -> None:
    world = World(REVOKED)

    def another_wins() -> None:
        world.store.row = grant(generation=2, refresh_token=sealed("refresh-2"))
        world.store.lease = None

    world.ask.meanwhile = another_wins

    outcome = world.refresh()

    assert (outcome.kind, outcome.grant) == ("renewed", world.store.row)
    assert world.store.verdicts == []


class Waits(Exception):
    pass


def test_of_two_workers_one_asks_and_the_other_waits() -> None:
    world = World(NEW)

    def give_up() -> None:
        raise Waits

    def other_worker() -> None:
        with pytest.raises(Waits):
            world.refresh()

    world.clock.on_sleep = give_up
    world.ask.meanwhile = other_worker

    assert world.refresh().kind == "renewed"
    assert world.ask.spent == ["refresh-1"]


def crash() -> None:
    raise SystemExit


def test_after_a_crash_the_lease_keeps_everybody_off_until_it_ends() -> None:
    world = World(NEW, NEWER)
    world.ask.meanwhile = crash
    with pytest.raises(SystemExit):
        world.refresh()
    world.store.let_go()

    outcome = world.refresh()

    assert outcome.kind == "renewed"
    assert world.ask.spent == ["refresh-1", "refresh-1"]
    assert 90 <= world.clock.now < 91


@pytest.mark.parametrize(
    ("refusals", "reason"),
    [
        ([REVOKED], "rotation_lost"),
        ([TIMEOUT, REVOKED], "rotation_lost"),
        ([Refusal(actor=Actor.OPERATOR, reason="invalid_client"), REVOKED], "rotation_lost"),
        ([Refusal(actor=Actor.CUSTOMER_ADMIN, reason="ip_restricted"), REVOKED], "rotation_lost"),
        ([Refusal(actor=Actor.UNKNOWN, reason="unknown"), REVOKED], "rotation_lost"),
        ([Refusal(actor=Actor.NOBODY, reason="contention"), REVOKED], "rotation_lost"),
    ],
    ids=["dead", "timeout", "client", "blocked", "unknown", "contention"],
)
def test_a_dead_grant_after_a_crash_is_called_a_lost_rotation(refusals: list[Refusal], reason: str) -> None:
    world = World(NEW, *refusals)
    world.ask.meanwhile = crash
    with pytest.raises(SystemExit):
        world.refresh()
    world.store.let_go()

    while world.ask.answers:
        outcome = world.refresh(forced=True)

    assert outcome.reason == reason


def test_a_dead_grant_after_a_lost_answer_is_called_a_lost_rotation() -> None:
    world = World(TIMEOUT, REVOKED)

    assert [world.refresh().reason, world.refresh(forced=True).reason] == ["timeout", "rotation_lost"]


def test_a_late_answer_of_a_worker_thought_dead_is_not_lost() -> None:
    world = World(NEW, REVOKED)

    def slower_than_the_lease() -> None:
        world.clock.now += 100

        def first_answers_now() -> None:
            world.store.row = replace(grant(), generation=2, refresh_token=sealed("refresh-2"))
            world.store.lease = None

        world.ask.meanwhile = first_answers_now
        assert world.refresh().kind == "renewed"

    world.ask.meanwhile = slower_than_the_lease

    assert world.refresh().kind == "renewed"
    assert world.refresh_token == "refresh-2"


def test_the_lease_follows_the_settings() -> None:
    world = World()
    world.hold_the_lease(10_000)

    with override_settings(
        SALESFORCE_OAUTH={
            "CLIENT_ID": "3MVG9.one",
            "CLIENT_SECRET": None,
            "TIMEOUTS": {"total": 2, "lease": 3, "wait": 1},
        }
    ):
        world.refresh()

    assert world.clock.now == pytest.approx(4)


# What can wait, and what is worth another try.


def test_a_grant_in_doubt_is_left_alone_while_its_access_token_lives() -> None:
    world = World()
    world.store.in_doubt = True
    world.store.row = grant(expires_in=600.0)

    outcome = world.refresh(ahead=True)

    assert outcome == Outcome(kind="unavailable", reason="in_doubt", retry_after=600.0)
    assert world.ask.spent == []


@pytest.mark.parametrize(
    ("row", "how"),
    [({"expires_in": 600.0}, {}), ({"expires_in": 600.0}, {"forced": True, "ahead": True}), ({}, {"ahead": True})],
    ids=["refused", "insisted", "run out"],
)
def test_a_grant_in_doubt_gets_its_one_retry(row: dict[str, float], how: dict[str, Any]) -> None:
    world = World(NEW)
    world.store.in_doubt = True
    world.store.row = grant(**row)

    assert world.refresh(**how).kind == "renewed"
    assert world.ask.spent == ["refresh-1"]


def test_a_lease_that_ended_without_a_word_is_a_doubt() -> None:
    world = World()
    world.hold_the_lease(-1)
    world.store.row = grant(expires_in=600.0)

    assert world.refresh(ahead=True).reason == "in_doubt"


def test_a_grant_without_doubt_is_refreshed_ahead() -> None:
    world = World(NEW)
    world.store.row = grant(expires_in=600.0)

    assert world.refresh(ahead=True).kind == "renewed"


CONTENTION = Refusal(actor=Actor.NOBODY, reason="contention", status=400)


def test_contention_is_waited_out_and_nobody_notices() -> None:
    world = World(CONTENTION, CONTENTION, NEW)

    assert world.refresh().kind == "renewed"
    assert world.ask.spent == ["refresh-1"] * 3
    assert world.clock.now < 8
    assert world.store.row is not None
    assert world.store.row.backoff_step == 0


def test_contention_that_does_not_end_is_told_when_nobody_waits_any_more() -> None:
    world = World(*[CONTENTION] * 50)

    outcome = world.refresh()

    assert (outcome.kind, outcome.reason) == ("unavailable", "contention")
    assert 8 <= world.clock.now < 9


def test_a_back_off_that_is_nearly_over_is_waited_for() -> None:
    world = World(NEW)
    world.store.retry_at = SHORT

    assert world.refresh().kind == "renewed"
    assert world.clock.naps == [SHORT]


# A lease that is too old to be used.


def test_a_worker_that_slept_after_its_claim_asks_nobody() -> None:
    world = World(NEW)
    let_go = world.store.let_go

    def sleep_once() -> None:
        world.store.let_go = let_go  # type: ignore[method-assign]
        world.clock.now += 31  # seconds; the lease has 59 left, and an exchange may take 60
        let_go()

    world.store.let_go = sleep_once  # type: ignore[method-assign]

    outcome = world.refresh()

    assert outcome.kind == "renewed"
    assert world.ask.spent == ["refresh-1"]
    assert [verdict.reason for verdict in world.store.verdicts] == ["outdated"]


# Trouble at the host.

DOWN = Refusal(actor=Actor.NOBODY, reason="server_error")


def test_a_host_that_fails_everybody_is_held() -> None:
    world = World(*[DOWN] * 10)

    for _ in range(9):
        world.refresh(forced=True)
    assert world.store.held_hosts == []
    world.refresh(forced=True)

    assert world.store.held_hosts == ["https://login.salesforce.com"]


@pytest.mark.parametrize(
    "sign_of_life", [REVOKED, CONTENTION, Refusal(actor=Actor.OPERATOR, reason="invalid_client", status=400)]
)
def test_a_host_that_answers_is_not_held(sign_of_life: Refusal) -> None:
    world = World(*[DOWN] * 9, sign_of_life, DOWN, *[CONTENTION] * 50)

    while len(world.ask.answers) > 40:
        world.refresh(forced=True)

    assert world.store.held_hosts == []


def test_a_host_that_was_not_asked_has_not_answered() -> None:
    world = World(*[DOWN] * 9, ConfigurationError(code="untrusted_host"), DOWN)

    while world.ask.answers:
        world.refresh(forced=True)

    assert world.store.held_hosts == ["https://login.salesforce.com"]


def test_a_host_that_cannot_be_held_harms_nobody() -> None:
    world = World(*[DOWN] * 10)
    world.store.fails("hold_host")

    assert [world.refresh(forced=True).reason for _ in range(10)] == ["server_error"] * 10


@pytest.mark.parametrize(
    ("answer", "lifted"),
    [(NEW, ["host:login.salesforce.com", "fleet:default"]), (REVOKED, ["host:login.salesforce.com"]), (DOWN, [])],
    ids=["renewed", "refused", "failed"],
)
def test_what_a_request_was_to_test_ends_if_it_went_well(answer: TokenAnswer | Refusal, lifted: list[str]) -> None:
    world = World(answer)
    world.store.gates.append(Gate(probes=("host:login.salesforce.com", "fleet:default")))

    world.refresh()

    assert world.store.lifted == lifted


def test_a_verdict_that_the_fleet_guard_withholds_is_not_told() -> None:
    world = World(REVOKED)
    world.store.withholds = True

    outcome = world.refresh()

    assert (outcome.kind, outcome.reason) == ("unavailable", "fleet_guard")
    assert outcome.grant is not None
    assert outcome.grant.status == Status.ACTIVE


# What the caller has read already


def read_before(world: World, **values: Any) -> Grant:
    assert world.store.row is not None
    return replace(world.store.row, **values)


def test_who_has_read_the_row_claims_it_without_another_look() -> None:
    world = World(NEW)
    world.store.fails("read")

    outcome = world.refresh(seen=read_before(world))

    assert (outcome.kind, world.refresh_token) == ("renewed", "refresh-2")
    assert world.clock.naps == []


@pytest.mark.parametrize("ahead", [False, True])
def test_a_claim_is_urgent_unless_it_is_made_ahead(ahead: bool) -> None:
    world = World(NEW)

    world.refresh(ahead=ahead, seen=read_before(world))

    assert world.store.urgent == [not ahead]


def test_what_was_read_before_another_has_renewed_it_asks_nobody() -> None:
    world = World(NEW)
    seen = read_before(world)
    world.refresh()

    outcome = world.refresh(seen=seen)

    assert outcome.kind == "renewed"
    assert world.ask.spent == ["refresh-1"]


@pytest.mark.parametrize(
    "unclear",
    [
        {"lease_owner": uuid4()},
        {"retry_at": EPOCH},
        {"in_doubt_since": EPOCH},
        {"withheld": "revoked"},
        {"status": Status.BLOCKED},
        {"refresh_token": None},
        {"generation": 0},
    ],
    ids=lambda values: next(iter(values)),
)
def test_what_was_read_is_looked_at_again_when_anything_speaks_against_it(unclear: dict[str, Any]) -> None:
    world = World(NEW)
    world.store.fails("read")

    outcome = world.refresh(seen=read_before(world, **unclear))

    assert (outcome.kind, outcome.reason) == ("unavailable", "database_unavailable")
    assert world.ask.spent == []


def test_what_was_read_under_a_key_that_is_gone_gives_nothing_up() -> None:
    """As from a cache: the row has been sealed anew since."""
    world = World(NEW)

    outcome = world.refresh(seen=read_before(world, refresh_token=Sealed(b"s1:gone:token")))

    assert (outcome.kind, world.refresh_token) == ("renewed", "refresh-2")
    assert world.ask.spent == ["refresh-1"]


def test_a_hold_stops_those_who_have_read_the_row_too() -> None:
    world = World(NEW)
    world.store.gates.append(Gate(closed="stopped"))

    outcome = world.refresh(seen=read_before(world))

    assert (outcome.kind, outcome.reason) == ("unavailable", "stopped")
    assert world.ask.spent == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [(NEW, "event=refreshed"), (TIMEOUT, "event=refresh_failed")],
    ids=["stored", "failed"],
)
def test_each_exchange_is_a_line_of_the_log(
    answer: TokenAnswer | Refusal, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "django_sf_oauth.grants")
    world = World(answer)
    world.ask.meanwhile = lambda: world.clock.sleep(1.5)

    world.refresh()

    (line,) = caplog.messages
    assert line.startswith(said)
    assert line.endswith("first=True seconds=1.500")


def test_one_that_waits_for_another_goes_by_its_last_look() -> None:
    world = World()
    world.hold_the_lease(get_app("default").timeouts.lease)

    def store_at_last() -> None:
        if world.clock.now > 0.4:
            assert world.store.row is not None
            world.store.row = replace(world.store.row, generation=2)

    world.clock.on_sleep = store_at_last
    world.store.gates.append(Gate(closed="asked"))

    outcome = world.refresh()

    assert (outcome.kind, outcome.reason) == ("renewed", "")
    assert world.store.gates, "it asked whether it may, although it need not"
    assert world.store.reads == 1 + len(world.clock.naps) > 6  # one when it began to wait, and one after each nap


def waits(world: World, *, took: float, lease: float | None = None) -> float:
    """One that waits while somebody else's exchange takes so many seconds; gives what it expects afterwards."""
    began = world.clock.now
    world.hold_the_lease(lease or get_app("default").timeouts.lease)

    def store_in_time() -> None:
        if world.clock.now >= began + took:
            world.store.row = grant(generation=2)
            world.store.lease = None

    world.clock.on_sleep = store_in_time
    assert world.refresh().kind == "renewed"
    world.store.row = grant()
    return world.refresher.pace.expected


@pytest.mark.parametrize("is_read", [False, True])
def test_an_exchange_lasts_from_its_claim_to_its_store(is_read: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for a row that somebody has locked comes before its lease begins."""
    world = World(NEW)
    for name, seconds in {"claim": 1.5, "claim_at_once": 1.5, "store": 0.1}.items():
        monkeypatch.setattr(world.store, name, late(world, getattr(world.store, name), seconds))
    world.ask.meanwhile = lambda: world.clock.sleep(0.5)

    world.refresh(seen=read_before(world) if is_read else None)

    expected = Pace()
    expected.learn(0.6)
    assert world.refresher.pace.expected == pytest.approx(expected.expected)


def late(world: World, method: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    def called(*args: Any, **kwargs: Any) -> Any:
        world.clock.sleep(seconds)
        return method(*args, **kwargs)

    return called


def test_who_waits_learns_how_long_the_others_take() -> None:
    world = World()

    waits(world, took=1.0)
    looks = len(world.clock.naps)
    for _ in range(50):
        waits(world, took=1.0)
    before = len(world.clock.naps)
    expected = waits(world, took=1.0)

    assert expected == pytest.approx(1.0, rel=0.05)
    assert len(world.clock.naps) - before < 12 < looks


def test_who_waits_finds_out_that_the_others_have_become_faster() -> None:
    world = World()
    for _ in range(50):
        waits(world, took=1.0)

    for _ in range(400):
        expected = waits(world, took=0.25)

    assert expected == pytest.approx(0.25, rel=0.1)


def test_one_exchange_that_hung_does_not_keep_the_next_waiters_asleep() -> None:
    world = World()
    waits(world, took=5.0)

    began = world.clock.now
    waits(world, took=0.2)

    assert world.clock.now - began < 0.3


def test_the_lease_of_a_process_with_other_settings_may_be_longer() -> None:
    world = World()

    for _ in range(50):
        waits(world, took=0.3, lease=get_app("default").timeouts.lease + 10)

    assert world.refresher.pace.expected == pytest.approx(0.3, rel=0.1)
    assert min(world.clock.naps) >= 0


def test_a_lease_that_ran_out_unanswered_teaches_nothing() -> None:
    world = World(NEW)
    world.hold_the_lease(60)
    expected: list[float] = []
    world.ask.meanwhile = lambda: expected.append(world.refresher.pace.expected)

    world.refresh()

    assert expected == [Pace().expected]


def test_a_lease_that_another_took_over_teaches_nothing() -> None:
    world = World()
    killed = grant(lease_owner=uuid4())
    world.store.row = killed
    world.hold_the_lease(60)
    expected: list[float] = []

    def take_over() -> None:
        assert world.store.row is not None
        if world.store.row.lease_owner != killed.lease_owner:
            expected.append(world.refresher.pace.expected)
            world.store.row = grant(generation=2)
        elif world.clock.now >= 59:
            world.store.row = grant(lease_owner=uuid4())
            world.hold_the_lease(90)

    world.clock.on_sleep = take_over

    assert world.refresh().kind == "renewed"
    assert expected == [Pace().expected]


def test_a_look_that_fails_is_made_again_on_a_fresh_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.hold_the_lease(get_app("default").timeouts.lease)
    let_go = world.store.let_go

    def store_and_break_the_connection() -> None:
        world.store.row = grant(generation=2)
        world.store.fails("read", times=1000, error=OperationalError("server closed the connection unexpectedly"))

    def let_go_of_the_broken_one() -> None:
        world.store.errors.clear()
        let_go()

    world.clock.on_sleep = store_and_break_the_connection
    monkeypatch.setattr(world.store, "let_go", let_go_of_the_broken_one)

    assert world.refresh().kind == "renewed"
