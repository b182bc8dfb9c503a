"""Deletes old audit events and attempts to connect that nobody can finish, and gives up what nobody uses."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandParser

from django_sf_oauth.management.command import Command as BaseCommand
from django_sf_oauth.services.dormancy import expire_dormant
from django_sf_oauth.services.pruning import KEEP_EVENTS, prune

NO_LIMIT = sys.maxsize
NO_HURRY = 7 * 24 * 3600.0  # seconds; an operator stops the command, no worker's time limit does


class Command(BaseCommand):
    help = "Deletes old audit events and attempts to connect, and gives up what is unused for DORMANT_AFTER."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        self.add_dry_run(parser)
        parser.add_argument(
            "--keep-days", type=int, default=KEEP_EVENTS.days, help="Days that events are kept (%(default)s)."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        dry_run = options["dry_run"]
        counts = prune(keep_events=timedelta(days=options["keep_days"]), dry_run=dry_run)
        dormant = expire_dormant(limit=NO_LIMIT, budget=NO_HURRY, dry_run=dry_run)
        self.finish({**counts, **+dormant}, options)
