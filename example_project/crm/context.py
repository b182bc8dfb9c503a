"""What every page's navigation needs."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def salesforce(request: HttpRequest) -> dict[str, str]:
    """`fake_panel`: where the fake Salesforce is controlled; empty against the real one."""
    return {"fake_panel": getattr(settings, "FAKE_PANEL", "")}
