"""A small site that shows its users the accounts of their own Salesforce org."""

from __future__ import annotations

from .celery import app as celery_app

__all__ = ["celery_app"]
