"""The Celery app of a worker or a beat that a test starts. ``SITE`` in the environment tells where it works."""

from __future__ import annotations

import json
import os

from celery import Celery

from django_sf_oauth.services import batches
from tests.races.worker import set_up

SITE = json.loads(os.environ["SITE"])
set_up(SITE)
batches.SLOWEST = 500  # exchanges a second: as if no batch were small, which a test has no time for

app = Celery("tests", config_source=SITE["celery"])
app.autodiscover_tasks()
