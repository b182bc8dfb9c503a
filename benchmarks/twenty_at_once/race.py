"""What is measured: the races of one peer on one database, each on a grant of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from django_sf_oauth.testing import FakeSalesforce
from django_sf_oauth.testing.fake import CLIENT_ID, CLIENT_SECRET
from django_sf_oauth.testing.server import FakeServer

from .databases import DATABASES
from .team import DriverFailed, Team, gathered

if TYPE_CHECKING:
    from .peers import Peer

__all__ = ["ALIVE", "CALLERS", "EXPIRED", "LAYOUTS", "LOST", "REPLAYS", "Cell", "Result", "measure"]

CALLERS = 20
LAYOUTS = {"20 threads": (1, 20), "4 processes of 5 threads": (4, 5)}
REPLAYS = ("I", "II")
# Seconds that the token endpoint takes, in turns: what a peer survives depends on it.
PACES = (0.0, 0.05, 0.2)
SERVED, REFUSED = "200", "401"
FORGOTTEN = ("DoesNotExist", "302")  # no row is left, or the user is sent to connect again
ALIVE, LOST, EXPIRED = "alive", "lost", "stays expired"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    peer: Peer
    database: str
    layout: str
    replay: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One race.

    Attributes:
        pace: seconds that the token endpoint took.
        requests: that reached it.
        fared: how many callers got which status, or which error.
        afterwards: `ALIVE`, `LOST`, or `EXPIRED` if the grant lives and nothing tries to refresh; else the error.
    """

    pace: float
    requests: int
    fared: Counter[str]
    afterwards: str

    @property
    def failed(self) -> int:
        return self.fared.total() - self.fared[SERVED]


def measure(
    peer: Peer,
    python: Path,
    database: str,
    *,
    layouts: tuple[str, ...] = tuple(LAYOUTS),
    replays: tuple[str, ...] = REPLAYS,
    runs: int = 3,
) -> dict[Cell, list[Result]]:
    """Races a peer on one database.

    Raises:
        DriverFailed: the peer does not even work for a caller that is alone.
    """
    processes = max(LAYOUTS[layout][0] for layout in layouts)
    with course(peer, python, database, processes=processes) as site:
        site.warm_up(refreshes=peer.refreshes)
        return {
            Cell(peer=peer, database=database, layout=layout, replay=replay): [
                site.race(*LAYOUTS[layout], replay=replay, pace=PACES[run % len(PACES)]) for run in range(runs)
            ]
            for layout in layouts
            for replay in replays
        }


@contextmanager
def course(peer: Peer, python: Path, database: str, *, processes: int) -> Iterator[Course]:
    with DATABASES[database]() as settings, FakeServer(FakeSalesforce()) as server:
        task = {
            "origin": server.url,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "way": peer.way,
            "database": settings,
        }
        with gathered(processes, python, peer.driver, task) as team:
            yield Course(server.fake, team)


class Course:
    """A fake Salesforce and the site that calls it."""

    def __init__(self, fake: FakeSalesforce, team: Team) -> None:
        self._fake = fake
        self._team = team
        self._names = (f"hiker{number}@acme-outdoor.example" for number in count(1))

    def warm_up(self, *, refreshes: bool) -> None:
        """Sees that a caller without any company is served, so that what fails later fails for the company."""
        connected = self._connect()
        self._expect(self._team.alone(connected.key), SERVED)
        connected.expire()
        self._expect(self._team.alone(connected.key), SERVED if refreshes else REFUSED)

    def _expect(self, found: str, wanted: str) -> None:
        if found != wanted:
            raise DriverFailed(f"A caller that was alone got {found}, not {wanted}.")

    def race(self, processes: int, threads: int, *, replay: str, pace: float) -> Result:
        self._fake.replay = replay
        connected = self._connect()
        connected.expire()
        before = self._fake.token_requests
        self._fake.delay = pace
        fared = self._team.at_once(connected.key, processes=processes, threads=threads)
        self._fake.delay = 0
        requests = self._fake.token_requests - before
        return Result(pace=pace, requests=requests, fared=Counter(fared), afterwards=connected.afterwards())

    def _connect(self) -> Connected:
        return Connected(self._fake, self._team, next(self._names))


class Connected:
    """A user of the site with a grant of their own."""

    def __init__(self, fake: FakeSalesforce, team: Team, name: str) -> None:
        self._fake, self._team = fake, team
        self._user = fake.add_user(name)
        self.key: int = team.first.do("store", name=name, tokens=fake.issue(self._user))

    def expire(self) -> None:
        self._fake.expire_access_tokens(self._user)
        self._team.first.do("age", key=self.key)

    def afterwards(self) -> str:
        """What the next caller finds when the access token has run out again."""
        self.expire()
        before = self._fake.token_requests
        how = self._team.alone(self.key)
        asked = self._fake.token_requests > before
        if how == SERVED:
            return ALIVE
        if asked or how in FORGOTTEN or not self._granted():
            return LOST
        return EXPIRED if how == REFUSED else how

    def _granted(self) -> bool:
        return any(self._fake.world.live_approvals(user=self._user))
