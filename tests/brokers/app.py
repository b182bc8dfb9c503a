"""The Celery app of a worker or a beat that a test starts. ``SITE`` in the environment tells where it works."""

from __future__ import annotations

import json
import os

from celery import Celery

from tests.races.worker import set_up

SITE = json.loads(os.environ["SITE"])
set_up(SITE)

app = Celery("tests", config_source=SITE["celery"])
app.autodiscover_tasks()
