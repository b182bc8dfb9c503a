"""Django's own tasks, which 6.0 brought, do what the Celery tasks do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.testing import FakeSalesforce
from tests.fleet import connect_one
from tests.pages import snippets

PAGE = "docs/how-to/refresh-in-the-background.md"


@pytest.mark.django_db
def test_the_tasks_in_the_documentation_do_what_the_commands_do(fake_salesforce: FakeSalesforce) -> None:
    pytest.importorskip("django.tasks")
    names: dict[str, Any] = {"__name__": "page"}
    (code,) = (snippet.code for snippet in snippets(PAGE) if "django.tasks" in snippet.code)
    exec(code, names)  # noqa: S102  # our own page
    connect_one(fake_salesforce, next_refresh_at=timezone.now() - timedelta(minutes=1))

    results = [names[name].enqueue() for name in sorted(names) if name.endswith(("salesforce", "events"))]

    assert [result.status for result in results] == ["SUCCESSFUL"] * 3
    assert SalesforceConnection.objects.get().generation == 2
