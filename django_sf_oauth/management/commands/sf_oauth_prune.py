"""Deletes old audit events and attempts to connect that nobody can finish."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandParser

from django_sf_oauth.management.command import Command as BaseCommand
from django_sf_oauth.services.pruning import KEEP_EVENTS, prune


class Command(BaseCommand):
    help = "Deletes old audit events, and attempts to connect that nobody can finish any more."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        self.add_dry_run(parser)
        parser.add_argument(
            "--keep-days", type=int, default=KEEP_EVENTS.days, help="Days that events are kept (%(default)s)."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        counts = prune(keep_events=timedelta(days=options["keep_days"]), dry_run=options["dry_run"])
        self.report(counts, options)
