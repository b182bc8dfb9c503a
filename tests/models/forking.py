"""A process that has used a connection and then forks, as a server that loads the site before it forks."""

from __future__ import annotations

import os
import warnings
from types import SimpleNamespace
from typing import Any


def main() -> int:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from django_sf_oauth.models import kill_switch as module

    parent = os.getpid()
    # Instead of the database: in the child there is no hold any more.
    module._stopped = lambda: frozenset() if os.getpid() != parent else frozenset({"all"})
    said = "stopped" if is_stopped(module.kill_switch) else "open"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of what is to be shown here
        child = os.fork()
    if child == 0:
        return int(is_stopped(module.kill_switch))
    _, status = os.waitpid(child, 0)
    print("parent", said)  # noqa: T201  # the test reads it
    return os.waitstatus_to_exitcode(status)


def is_stopped(switch: Any) -> bool:
    from django_sf_oauth.exceptions import TemporarilyUnavailable

    try:
        switch.check(SimpleNamespace(app="default", organization_id="", uuid=None))
    except TemporarilyUnavailable:
        return True
    return False


raise SystemExit(main())
