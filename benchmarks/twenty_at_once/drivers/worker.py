"""One process of a site, which does what it is told, a line of JSON at a time.

A driver calls `join` first, imports what needs Django, and ends with `work`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any

__all__ = ["REFUSED", "Site", "join", "set_up", "work"]

REFUSED = 401  # what Salesforce answers to an expired access token
LIMITS = "/services/data/v66.0/limits"
COMMON_APPS = ("django.contrib.auth", "django.contrib.contenttypes")

stdin, stdout = sys.stdin, sys.stdout


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """What a driver is told.

    Attributes:
        origin: of the fake Salesforce, which is its login host and its instance.
        way: which of the driver's ways to call is meant.
        database: Django's settings of it.
    """

    origin: str
    client_id: str
    client_secret: str
    way: str
    database: dict[str, Any]

    @property
    def token_url(self) -> str:
        return f"{self.origin}/services/oauth2/token"

    @property
    def limits_url(self) -> str:
        """What every caller asks for."""
        return self.origin + LIMITS


def join() -> Site:
    """Reads what this process is for. What anybody prints from now on goes to the log."""
    sys.stdout = sys.stderr
    return Site(**json.loads(stdin.readline()))


def set_up(site: Site, *, apps: tuple[str, ...] = (), **settings: Any) -> None:
    """Starts Django with the driver's apps and settings."""
    import django
    from django.conf import settings as django_settings

    django_settings.configure(
        SECRET_KEY="only-for-this-benchmark",  # noqa: S106  # protects nothing
        ALLOWED_HOSTS=["testserver"],
        DATABASES={"default": site.database},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[*COMMON_APPS, *apps],
        LOGGING={"version": 1, "root": {"level": "CRITICAL"}},  # refusals are counted, not told
        USE_TZ=True,
        **settings,
    )
    django.setup()


def work(
    site: Site,
    *,
    store: Callable[[Any, dict[str, str]], int],
    calls: Mapping[str, Callable[[int], int]],
    age: Callable[[int], object] | None = None,
) -> None:
    """Obeys until nothing more is said.

    Args:
        store: keeps a user's tokens as the package does after the callback; returns how to find them again.
        calls: for each way, one API call with what was stored; returns the status of the answer.
        age: lets the stored access token look as old as it is, where the package goes by the clock.
    """
    call = calls[site.way]
    gate = Gate()
    commands: dict[str, Callable[..., object]] = {
        "tables": make_tables,
        "store": lambda name, tokens: store(new_user(name), tokens),
        "age": lambda key: age and age(key),
        "gather": lambda key, callers: gate.gather(callers, lambda: fared(call, key)),
        "go": lambda: gate.open(),
    }
    say("ready")
    for line in stdin:
        command = json.loads(line)
        answer = commands[command.pop("do")](**command)
        close_connection()
        say(answer)


class Gate:
    """Callers wait at it until they are all let in at once."""

    def gather(self, callers: int, call: Callable[[], str]) -> None:
        self._opened = Event()
        arrived = [Event() for _ in range(callers)]
        self._threads = ThreadPoolExecutor(callers)
        self._waiting = [self._threads.submit(self._enter, event, call) for event in arrived]
        for event in arrived:
            event.wait()

    def _enter(self, arrived: Event, call: Callable[[], str]) -> str:
        try:
            open_connection()
        finally:
            arrived.set()
        self._opened.wait()
        return call()

    def open(self) -> list[str]:
        """How each fared."""
        self._opened.set()
        with self._threads:
            return [waiting.result() for waiting in self._waiting]

    _opened: Event
    _threads: ThreadPoolExecutor
    _waiting: list[Future[str]]


def fared(call: Callable[[int], int], key: int) -> str:
    """The status of the answer, or what kind of error the caller got instead of one."""
    try:
        return str(call(key))
    except Exception as error:
        return type(error).__name__
    finally:
        close_connection()


def make_tables() -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    # Only now, for a table without migrations may point to one that has some.
    call_command("migrate", run_syncdb=True, verbosity=0)


def new_user(name: str) -> Any:
    from django.contrib.auth import get_user_model

    return get_user_model().objects.create_user(name)


def open_connection() -> None:
    """As a site has it whose connections persist: nobody comes late because their database did."""
    from django.db import connection

    connection.ensure_connection()


def close_connection() -> None:
    """As the end of a request does."""
    from django.db import connection

    connection.close()


def say(answer: object) -> None:
    stdout.write(json.dumps(answer) + "\n")
    stdout.flush()
