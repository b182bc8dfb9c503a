"""A process that ends while one of its threads still has something to write."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import thread as executors

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()

from django_sf_oauth.models.group_commit import GroupCommit  # noqa: E402  # it imports models
from django_sf_oauth.models.update_row import RowUpdate  # noqa: E402  # likewise


def write_at_the_end() -> None:
    while not executors._shutdown:  # no thread is started any more
        time.sleep(0.01)
    update = RowUpdate(pk=1, values={"lease_owner": 1}, fence={})
    print(GroupCommit(lambda updates: []).update(update))  # noqa: T201  # the test reads it


threading.Thread(target=write_at_the_end).start()
