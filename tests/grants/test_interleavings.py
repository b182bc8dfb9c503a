"""Every order in which processes can refresh, crash and disconnect one grant, on rows in memory.

Salesforce rotates the refresh token, refuses a second request in flight, and may kill the grant on a replay.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from unittest.mock import Mock

import pytest

from django_sf_oauth.conf import AppSettings
from django_sf_oauth.grants.contract import Claim, Grant, Outcome, Status, Verdict
from django_sf_oauth.grants.refresh import Refresher
from django_sf_oauth.protocol.errors import Actor as WhoActs
from django_sf_oauth.protocol.errors import Refusal
from django_sf_oauth.protocol.tokens import TokenAnswer

from .memory import KEY, Clock, MemoryStore
from .schedules import Actor, Stage, orders

A_LEASE = 91.0  # seconds; longer than one lasts, and shorter than its waiters' patience


def pause(point: str) -> None:
    """Lets others go first, if an actor is what calls."""
    current = threading.current_thread()
    if isinstance(current, Actor):
        current.pause(point)


@dataclass
class SharedRow(MemoryStore):
    """A row at which every operation lets others go first.

    Attributes:
        version: how often it was changed, or may have been.
        unstored: names of the actors that have asked Salesforce, and written nothing down yet.
        to_revoke: the refresh tokens that Salesforce has still to be told to forget.
    """

    version: int = 0
    unstored: set[str] = field(default_factory=set)
    to_revoke: list[str] = field(default_factory=list)

    def read(self, key: int) -> Grant | None:
        pause("read")
        return super().read(key)

    def claim_at_once(self, grant: Grant, *, lease: float, urgent: bool = False) -> Claim | None:
        pause("claim")
        self.version += 1
        return super().claim_at_once(grant, lease=lease, urgent=urgent)

    def claim(self, grant: Grant, *, lease: float) -> Claim | None:
        pause("claim")
        self.version += 1
        return super().claim(grant, lease=lease)

    def store(self, claim: Claim, answer: TokenAnswer, *, took: float = 0.0) -> Grant | None:
        pause("store")
        self.version += 1
        stored = super().store(claim, answer)
        self.unstored.discard(threading.current_thread().name)
        if stored is None and self._row().status == Status.DISCONNECTED:
            self.to_revoke.append(str(answer.refresh_token))
        return stored

    def fail(self, claim: Claim, verdict: Verdict, *, took: float = 0.0) -> Verdict | None:
        pause("fail")
        self.version += 1
        written = super().fail(claim, verdict)
        self.unstored.discard(threading.current_thread().name)
        return written

    def let_go(self) -> None:
        super().let_go()
        current = threading.current_thread()
        if isinstance(current, Actor) and current.point == "claim":
            current.pause("ask")

    def disconnect(self) -> None:
        self.to_revoke.append(self.refresh_token)
        self.version += 1
        super().disconnect()

    @property
    def refresh_token(self) -> str:
        token = self._row().refresh_token
        return token.reveal() if token else ""


@dataclass
class Salesforce:
    """The other side of one grant.

    Attributes:
        kills: whether a replay ends the grant (II), or is merely refused (I).
        loses: whether the next answer is lost on the way.
    """

    kills: bool = True
    current: str = "refresh-1"
    is_alive: bool = True
    loses: bool = False
    posts: int = 0
    collisions: int = 0
    replays: int = 0
    in_flight: set[str] = field(default_factory=set)
    numbers: count[int] = field(default_factory=lambda: count(2))

    def ask(self, refresh_token: str) -> TokenAnswer | Refusal:
        self.posts += 1
        if refresh_token in self.in_flight:
            self.collisions += 1
            return Refusal(actor=WhoActs.NOBODY, reason="contention")
        self.in_flight.add(refresh_token)
        try:
            pause("process")
        finally:  # also when the process that asked has died meanwhile
            self.in_flight.remove(refresh_token)
            answer = self._process(refresh_token)
        pause("answer")
        if self.loses:
            self.loses = False
            return Refusal(actor=WhoActs.NOBODY, reason="timeout", answer_lost=True)
        return answer

    def _process(self, refresh_token: str) -> TokenAnswer | Refusal:
        is_replay = refresh_token != self.current
        self.replays += is_replay
        self.is_alive = self.is_alive and not (is_replay and self.kills)
        if is_replay or not self.is_alive:
            return Refusal(actor=WhoActs.USER, reason="revoked")
        self.current = f"refresh-{next(self.numbers)}"
        return TokenAnswer(access_token=f"access of {self.current}", refresh_token=self.current)


class World:
    """One grant, and those who work on it.

    Attributes:
        happened: which events there were; ``late`` means that a lease ended before an answer was stored.
    """

    def __init__(self, *, processes: int, kills: bool) -> None:
        self.clock = Clock()
        self.row = SharedRow(self.clock)
        self.salesforce = Salesforce(kills=kills)
        self.happened: set[str] = set()
        read_before = self.row.read(KEY)
        # One that has read the row long ago, among others that have not.
        self.actors = [
            Actor(name, partial(self.refresh, seen=read_before if name == "A" else None))
            for name in "ABC"[:processes]
        ]

    def refresh(self, generation: int = 1, seen: Grant | None = None) -> Outcome:
        refresher = Refresher(store=self.row, ask=self.ask, sleep=self.sleep, clock=self.clock.read)
        return refresher(KEY, generation, seen=seen)

    def ask(self, app: AppSettings, *, login_url: str, refresh_token: str) -> TokenAnswer | Refusal:
        self.row.unstored.add(threading.current_thread().name)
        return self.salesforce.ask(refresh_token)

    def sleep(self, seconds: float) -> None:
        """Until something has changed; whoever is no actor just lets the time pass."""
        current = threading.current_thread()
        if isinstance(current, Actor) and seconds:
            seen = (self.row.version, self.clock.now)
            current.wakes = lambda: (self.row.version, self.clock.now) != seen
            current.pause("sleep")
        self.clock.now += 0 if isinstance(current, Actor) else seconds

    # What else can happen

    def event(self, name: str) -> Event:
        return {
            "disconnect": (lambda: True, self.disconnect),
            "the lease ends": (lambda: self.row.lease is not None, self.end_lease),
            "the lease ends again": (lambda: self.row.lease is not None, self.end_lease),
            "the answer is lost": (lambda: self.is_anybody("answer"), self.lose_answer),
            "the database fails": (lambda: self.is_anybody("store", "fail"), self.fail_once),
            "A dies": (lambda: self.is_anybody(*RUNNING, names="A"), lambda: self.kill(self.actors[0])),
            "B dies": (lambda: self.is_anybody(*RUNNING, names="B"), lambda: self.kill(self.actors[1])),
        }[name]

    def is_anybody(self, *points: str, names: str = "ABC") -> bool:
        return any(actor.point in points for actor in self.actors if actor.name in names)

    def disconnect(self) -> None:
        self.happened.add("disconnect")
        self.row.disconnect()

    def end_lease(self) -> None:
        if self.row.unstored:
            self.happened.add("late")
        self.clock.now += A_LEASE

    def lose_answer(self) -> None:
        self.happened.add("lost")
        self.salesforce.loses = True

    def fail_once(self) -> None:
        self.row.fails("store")
        self.row.fails("fail")

    def kill(self, actor: Actor) -> None:
        if actor.name in self.row.unstored:
            self.happened.add("lost")
        actor.crash()
        self.row.unstored.discard(actor.name)

    # What has to be true in the end

    def check(self) -> None:
        results = [actor.result for actor in self.actors]
        assert not [result for result in results if isinstance(result, Exception)]
        if any(isinstance(result, Outcome) and result.reason == "store_failed" for result in results):
            self.happened.add("lost")  # the database was down until the lease had ended
        self.no_two_requests_within_a_lease()
        self.every_token_is_kept_or_given_back()
        if "disconnect" in self.happened:
            assert self.row.row is not None
            assert self.row.row.status == Status.DISCONNECTED
        else:
            self.the_grant_lives_or_is_labelled()

    def no_two_requests_within_a_lease(self) -> None:
        assert not self.salesforce.collisions or "late" in self.happened
        assert not self.salesforce.replays or self.happened & {"late", "lost"}

    def every_token_is_kept_or_given_back(self) -> None:
        kept = {self.row.refresh_token, *self.row.to_revoke}
        assert self.salesforce.current in kept or "lost" in self.happened
        assert not self.row.discarded or "disconnect" in self.happened

    def the_grant_lives_or_is_labelled(self) -> None:
        """Later, somebody needs it."""
        self.clock.now += 10 * A_LEASE
        before = self.row.read(KEY)
        assert before is not None
        token = self.row.refresh_token
        is_whole = self.salesforce.is_alive and self.salesforce.current == token
        outcome = self.refresh(before.generation)

        assert is_whole or self.happened & {"late", "lost"}
        assert outcome.kind == ("renewed" if is_whole else "dead")
        reasons = [verdict.reason for verdict in self.row.verdicts if verdict.kind == "dead"]
        assert is_whole or set(reasons) == {"rotation_lost"}


Event = tuple[Callable[[], bool], Callable[[], None]]
RUNNING = ("read", "claim", "ask", "process", "answer", "store", "fail", "sleep")


def check(world: World, story: str) -> None:
    try:
        world.check()
    except AssertionError as error:
        raise AssertionError(story) from error


def test_an_order_that_fails_is_told() -> None:
    world = World(processes=1, kills=True)
    world.check = Mock(side_effect=AssertionError)  # type: ignore[method-assign]

    with pytest.raises(AssertionError, match="in order 7: A reads"):
        check(world, "in order 7: A reads")


def test_an_actor_that_fails_is_told_of() -> None:
    error = LookupError()

    def fails() -> object:
        raise error

    actor = Actor("A", fails)
    actor.start()
    actor.go()

    assert (actor.result, actor.point) == (error, "end")


@pytest.mark.parametrize("kills", [True, False], ids=["replay kills", "replay is refused"])
@pytest.mark.parametrize(
    ("processes", "preemptions", "events"),
    [
        (2, 99, ()),
        (3, 2, ()),
        (2, 2, ("disconnect",)),
        (2, 3, ("the lease ends",)),
        (2, 2, ("A dies", "B dies")),
        (2, 3, ("the answer is lost",)),
        (2, 3, ("the database fails",)),
        (2, 1, ("the lease ends", "the lease ends again")),
        (2, 1, ("A dies", "disconnect")),
        (2, 1, ("A dies", "the lease ends")),
        (2, 1, ("the answer is lost", "the lease ends")),
        (2, 1, ("disconnect", "the lease ends")),
        (2, 1, ("the database fails", "the lease ends")),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, tuple) else str(value),
)
def test_in_no_order_is_a_token_lost_without_a_label(
    processes: int, preemptions: int, events: tuple[str, ...], kills: bool
) -> None:
    """What ends a grant is then called ``rotation_lost``.

    It is a lost answer, or a process that died, or stood still past its lease, before it had stored one.
    """
    worlds: list[World] = []

    def make() -> Stage:
        random.seed(0)  # how long a back-off is must not differ between one order and the next
        worlds.append(world := World(processes=processes, kills=kills))
        chances = {name: world.event(name) for name in events}
        return Stage(world.actors, world.end_lease, preemptions=preemptions, events=chances)

    for played, stage in enumerate(orders(make), start=1):
        check(worlds.pop(), f"in order {played}: " + "; ".join(stage.story))
    assert played >= 100
