"""Runs actors one step at a time, in every order there is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

__all__ = ["Actor", "Choice", "Crash", "Stage", "orders"]


class Crash(BaseException):
    """The process of an actor dies here."""


class Actor(threading.Thread):
    """Something that goes on only when it is told to, and then to its next pause.

    Attributes:
        point: where it stands: before the step of that name, or at its ``end``.
        wakes: whether a sleeper has something new to look at.
    """

    def __init__(self, name: str, act: Callable[[], object]) -> None:
        super().__init__(name=name, daemon=True)
        self.point = "begin"
        self.wakes: Callable[[], bool] = lambda: True
        self.result: object = None
        self._act = act
        self._is_to_die = False
        # Plain locks, handed to and fro: one is always held. They cost a third of a semaphore.
        self._mine, self._theirs = threading.Lock(), threading.Lock()
        self._mine.acquire()
        self._theirs.acquire()

    def run(self) -> None:
        try:
            self._mine.acquire()
            self.result = self._act()
        except Crash:
            self.result = "crash"
        except BaseException as error:  # told to the test, which would not hear of it otherwise
            self.result = error
        self.point = "end"
        self._theirs.release()

    def pause(self, point: str) -> None:
        """Called by the actor itself, before a step that others can tell from the next."""
        self.point = point
        self._theirs.release()
        self._mine.acquire()
        self.wakes = lambda: True
        if self._is_to_die:
            raise Crash

    def go(self) -> None:
        """Lets it take one step."""
        self._mine.release()
        self._theirs.acquire()

    def crash(self) -> None:
        self._is_to_die = True
        self.go()

    @property
    def is_ready(self) -> bool:
        return self.point != "end" and self.wakes()


@dataclass
class Choice:
    """Which of so many moves was made."""

    made: int
    moves: int


@dataclass
class Stage:
    """Actors, and what else can happen: each event once, as long as it may.

    Attributes:
        nothing_else: what happens when everybody sleeps.
        preemptions: how often an actor that could go on has to wait for another.
        events: by name, whether it may happen now, and what it does.
    """

    actors: list[Actor]
    nothing_else: Callable[[], None]
    preemptions: int
    events: dict[str, tuple[Callable[[], bool], Callable[[], None]]] = field(default_factory=dict)
    story: list[str] = field(default_factory=list)

    def play(self, script: list[int]) -> list[Choice]:
        """Follows the script, then makes the first move there is, to the end. Returns all choices."""
        for actor in self.actors:
            actor.start()
        choices: list[Choice] = []
        current: Actor | None = None
        while any(actor.point != "end" for actor in self.actors):
            moves = self._moves(current)
            if not moves:
                self.nothing_else()
                continue
            made = script[len(choices)] if len(choices) < len(script) else 0
            choices.append(Choice(made=made, moves=len(moves)))
            current = self._make(moves[made], current)
        return choices

    def _moves(self, current: Actor | None) -> list[Actor | str]:
        ready = [actor for actor in self.actors if actor.is_ready]
        if current in ready:
            others = [actor for actor in ready if actor is not current]
            ready = [current, *(others if self.preemptions else [])]
        return [*ready, *(name for name, (may, _) in self.events.items() if may())]

    def _make(self, move: Actor | str, current: Actor | None) -> Actor | None:
        if isinstance(move, str):
            self.story.append(move)
            self.events.pop(move)[1]()
            return current
        if current is not None and current is not move and current.is_ready:
            self.preemptions -= 1
        self.story.append(f"{move.name}: {move.point}")
        move.go()
        return move


def orders(make: Callable[[], Stage]) -> Iterator[Stage]:
    """Every order in which the moves of a stage can be made; a stage is made anew for each, and played."""
    script: list[int] = []
    while True:
        stage = make()
        choices = stage.play(script)
        yield stage
        while choices and choices[-1].made == choices[-1].moves - 1:
            choices.pop()
        if not choices:
            return
        script = [choice.made for choice in choices]
        script[-1] += 1
