"""A million connections over thirty days, on a clock of their own: how many token requests, when, and for whom.

Run with ``python -m benchmarks.thirty_days``; it takes some minutes and needs no database. The due times come
from ``django_sf_oauth.grants.due``, and every connection is followed from one refresh to the next. What has
fallen due since the last sweep, all workers together begin to ask for as ``django_sf_oauth.services.batches``
says. Nothing else of the world is real: each session lives for two hours, and no refresh fails.

A tenth of the connections is used each day: nine of ten of these are the same every day, in office hours and in
one time zone; the others are used on that day only. Some machines use theirs round the clock. Of those in daily
use one in three is followed, and its days are counted three times, some minutes apart.
"""

from __future__ import annotations

import random
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import exp
from uuid import UUID

from django_sf_oauth.conf import AppSettings
from django_sf_oauth.grants.due import IDLE_RULE, lived_on, next_refresh_at, pause_of, touch_interval
from django_sf_oauth.services.batches import BATCH, SWEEP, spread
from django_sf_oauth.tasks import beat_schedule

from .turns import verdict

CONNECTIONS = 1_000_000
DAYS = 30
REGULAR, GUESTS = 0.09, 0.01  # shares of them that are used each day, and on that day
MACHINES = 300
SAMPLE = 3000  # connections of a comparison
STANDS_FOR = 3

APP = AppSettings(alias="default", client_id="id")
PAUSE = pause_of(APP.heartbeat, APP.expires_if_unused)
NAIVE = 48 * CONNECTIONS  # token requests a day: everybody's every half hour

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY, END = 3600, 24 * 3600, DAYS * 24 * 3600  # seconds
SHIFT = 0.5 * HOUR
SWEEP_EVERY = round(beat_schedule()["django_sf_oauth.refresh_due"]["schedule"])
LIFE = APP.session_lifetime.total_seconds()
NOTED_EVERY = touch_interval(APP.session_lifetime).total_seconds()

GOAL_SHARE, GOAL_PEAK = 0.05, 2.0

dice = random.Random(4)  # noqa: S311  # no secret


@dataclass(kw_only=True, slots=True)
class Tally:
    """Token requests by second, and the longest that a refresh token was left alone, in seconds."""

    due: array[int] = field(default_factory=lambda: array("H", bytes(2 * END)))
    """Those that a sweep hands over, by due time."""
    on_demand: array[int] = field(default_factory=lambda: array("H", bytes(2 * END)))
    requests: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    shifts: tuple[float, ...] = (0.0,)
    """Whom the connection that is followed stands for: the same one, so many seconds later."""


Way = Callable[..., None]


def live(uuid: UUID, *, refreshed: float, uses: Iterable[float], tally: Tally, slides: bool = True) -> None:
    """One connection from its last refresh, before the start or just after it, until the end."""
    idle, in_use = waits_of(uuid)
    used = -2.0 * DAY
    expires, due = refreshed + LIFE, refreshed + idle
    for use in (*uses, END):
        while due < use:  # nobody has to wait for these
            if due - used < DAY:
                refreshed, due = note(tally, "ahead", refreshed, due), due + in_use
            else:
                refreshed, due = note(tally, "heartbeats", refreshed, due), due + idle
            expires = refreshed + LIFE
        if use >= END:
            break
        used = use
        if use >= expires:
            refreshed, due, expires = note(tally, "on_demand", refreshed, use), use + in_use, use + LIFE
        else:
            due, expires = touched(uuid, use, refreshed, expires, slides=slides)
    tally.longest = max(tally.longest, END - refreshed)


def note(tally: Tally, why: str, before: float, now: float) -> float:
    if 0 <= now < END - SHIFT:
        tally.requests[why] += len(tally.shifts)
        seconds = tally.on_demand if why == "on_demand" else tally.due
        for shift in tally.shifts:
            seconds[int(now + shift)] += 1
    if now - before > tally.longest:
        tally.longest = now - before
    return now


def touched(uuid: UUID, use: float, refreshed: float, expires: float, *, slides: bool) -> tuple[float, float]:
    """When it is due, and when its session ends, once that use was noted."""
    now, end = moment(use), moment(expires)
    if slides:
        end = lived_on(used_at=now, expires_at=end, life=APP.session_lifetime)
    due = due_of(uuid, now=now, refreshed=moment(refreshed), expires=end, used=now)
    return seconds(due), seconds(end)


def waits_of(uuid: UUID) -> tuple[float, float]:
    """From one refresh to the next, while nobody uses it and while somebody has within the day.

    These depend on nothing but the uuid, so that one question for each will do.
    """
    end = START + APP.session_lifetime
    idle = due_of(uuid, now=START, refreshed=START, expires=end, used=None)
    return seconds(idle), seconds(due_of(uuid, now=START, refreshed=START, expires=end, used=START))


def due_of(
    uuid: UUID, *, now: datetime, refreshed: datetime, expires: datetime, used: datetime | None
) -> datetime:
    return next_refresh_at(
        uuid=uuid, now=now, refreshed_at=refreshed, expires_at=expires, last_used_at=used, pause=PAUSE
    )


def moment(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def seconds(moment: datetime) -> float:
    return (moment - START).total_seconds()


def any_uuid() -> UUID:
    return UUID(int=dice.getrandbits(128))


def office_hours(day: int) -> Iterator[float]:
    """The uses of one day that are noted: three spells between seven and seven, of a quarter to five quarters of
    an hour each."""
    noted = -2.0 * DAY
    for hour in (7, 11, 15):
        use = day * DAY + (hour + 2.5 * dice.random()) * HOUR
        end = use + (0.25 + dice.random()) * HOUR
        while use < end:
            if use - noted >= NOTED_EVERY:
                noted = use
                yield use
            use += NOTED_EVERY + 300 * dice.random()


def every_day() -> Iterator[float]:
    return (use for day in range(-1, DAYS) for use in office_hours(day))


def round_the_clock() -> Iterator[float]:
    use = NOTED_EVERY * dice.random()
    while use < END:
        yield use
        use += NOTED_EVERY + 60 * dice.random()


def guest_days() -> Iterator[float]:
    """Those of a connection that is used on some day by chance."""
    chance = GUESTS / (1 - REGULAR)
    return (use for day in range(DAYS) if dice.random() < chance for use in office_hours(day))


def in_use(number: int, tally: Tally, *, slides: bool = True) -> None:
    """Each that is followed stands for others too, whose users come some minutes later every day."""
    for _ in range(number // STANDS_FOR):
        tally.shifts = tuple(SHIFT * dice.random() for _ in range(STANDS_FOR))
        live(any_uuid(), refreshed=-DAY, uses=every_day(), tally=tally, slides=slides)


def machines(number: int, tally: Tally, *, slides: bool = True) -> None:
    for _ in range(number):
        live(any_uuid(), refreshed=0.0, uses=round_the_clock(), tally=tally, slides=slides)


def seldom_used(number: int, tally: Tally) -> None:
    """As a site finds them that has run for long: each somewhere within its wait."""
    for _ in range(number):
        uuid = any_uuid()
        wait = waits_of(uuid)[0]
        live(uuid, refreshed=-wait * dice.random(), uses=guest_days(), tally=tally)


def imported(number: int, tally: Tally) -> None:
    """All of them within a quarter of an hour, and nobody uses them yet."""
    for _ in range(number):
        live(any_uuid(), refreshed=0.25 * HOUR * dice.random(), uses=(), tally=tally)


def together(*seconds: Sequence[int]) -> list[int]:
    return [sum(second) for second in zip(*seconds, strict=True)]


def begun(due: Sequence[int]) -> list[int]:
    """By second, the exchanges that are begun, of what falls due by second. No sweep is late, and no worker."""
    seconds = [0] * END
    waiting = 0
    for now in range(0, END, SWEEP_EVERY):
        handed_over, waiting = min(waiting, SWEEP), max(0, waiting - SWEEP)
        counts = [min(BATCH, handed_over - start) for start in range(0, handed_over, BATCH)]
        for count, over in zip(counts, spread(counts, others_wait=handed_over == SWEEP), strict=True):
            for number in range(count):
                seconds[min(END - 1, int(now + over * number / count))] += 1
        waiting += sum(due[now : now + SWEEP_EVERY])
    return seconds


def peak(seconds: Sequence[int], *, per: int) -> float:
    """The most token requests in so many seconds, as a ratio of the mean."""
    sums = [sum(seconds[start : start + per]) for start in range(0, END, per)]
    return float(max(sums) * len(sums) / sum(sums))


def by_chance(mean: float) -> float:
    """What the fullest second would hold, as a ratio of the mean, if each request chose its own by lot."""
    number, likely, beyond = 0, exp(-mean), 1.0
    while END * (beyond := beyond - likely) >= 1:
        number += 1
        likely *= mean / number
    return (number + 1) / mean


def main() -> int:
    regular, robots, rest, fresh = Tally(), Tally(), Tally(), Tally()
    in_use(round(CONNECTIONS * REGULAR) - MACHINES, regular)
    machines(MACHINES, robots)
    seldom_used(round(CONNECTIONS * (1 - REGULAR)), rest)
    imported(round(CONNECTIONS * (1 - REGULAR)), fresh)
    met = [
        show_requests(regular, robots, rest),
        show_sliding(),
        show_gaps({"in daily use": regular, "round the clock": robots, "seldom used": rest, "imported": fresh}),
        show_peak("a site that has run for long", regular, robots, rest),
        show_peak("the idle ones imported at the start", regular, robots, fresh),
    ]
    return 0 if all(met) else 1


def show_requests(*tallies: Tally) -> bool:
    print(f"{CONNECTIONS:,} connections, {DAYS} days, {REGULAR + GUESTS:.0%} used each day; token requests a day")
    ways = {
        "ahead": "ahead of expiry: used within a day",
        "heartbeats": "heartbeat: idle",
        "on_demand": "on demand: the first use after a pause",
    }
    requests = sum((tally.requests for tally in tallies), Counter[str]())
    for why, name in ways.items():
        number = requests[why] / DAYS
        print(f"  {name:48} {number:12,.0f}   ratio {number / NAIVE:6.4f}")
    share = requests.total() / DAYS / NAIVE
    print(f"  {'together':48} {share * NAIVE:12,.0f}   ratio {share:6.4f}   {goal(share, GOAL_SHARE)}")
    print(f"  {'naive: everybody, every half hour':48} {NAIVE:12,.0f}   ratio 1.0000")
    return share <= GOAL_SHARE


def show_sliding() -> bool:
    print("\nToken requests per connection in daily use and day, beside tokens of a fixed life, as JWTs are")
    met = True
    ways: dict[str, tuple[Way, int]] = {
        "in office hours": (in_use, SAMPLE),
        "round the clock": (machines, MACHINES),
    }
    for name, (way, number) in ways.items():
        slides, fixed = Tally(), Tally()
        way(number, slides, slides=True)
        way(number, fixed, slides=False)
        one, other = (tally.requests.total() / number / DAYS for tally in (slides, fixed))
        print(
            f"  {name:48} {one:12.1f} of {other:.1f}   ratio {one / other:6.4f}   goal < 1  {verdict(one < other)}"
        )
        met = met and one < other
    return met


def show_gaps(tallies: Mapping[str, Tally]) -> bool:
    print(f"\nThe longest that a refresh token was not spent; Salesforce's rule is {IDLE_RULE.days} days")
    most = PAUSE / timedelta(days=1)
    for name, tally in tallies.items():
        days = tally.longest / DAY
        print(f"  {name:48} {days:12.2f} days   goal ≤ {most:.2f}  {verdict(days <= most)}")
    return all(tally.longest / DAY <= most for tally in tallies.values())


def show_peak(name: str, *tallies: Tally) -> bool:
    """Due times that know nothing of each other fall as if by lot, and of so many seconds one is then fuller than
    twice the mean."""
    mean = sum(tally.requests.total() for tally in tallies) / END
    due, on_demand = together(*(one.due for one in tallies)), together(*(one.on_demand for one in tallies))
    asked, when_due = together(begun(due), on_demand), together(due, on_demand)
    minute, second = peak(asked, per=60), peak(asked, per=1)
    print(f"\nThe fullest times, {name}: {mean:.1f} token requests a second in the mean")
    print(f"  {'fullest minute':48} ratio {minute:6.2f}   {goal(minute, GOAL_PEAK)}")
    print(f"  {'fullest second':48} ratio {second:6.2f}   {goal(second, GOAL_PEAK)}")
    print(f"  {'fullest second, if each were asked for when due':48} ratio {peak(when_due, per=1):6.2f}")
    print(f"  {'fullest second, if all were spread by lot':48} ratio {by_chance(mean):6.2f}")
    return max(minute, second) <= GOAL_PEAK


def goal(ratio: float, most: float) -> str:
    return f"goal ≤ {most:.2f}  {verdict(ratio <= most)}"


if __name__ == "__main__":
    sys.exit(main())
