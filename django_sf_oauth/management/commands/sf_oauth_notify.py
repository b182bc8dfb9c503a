"""Sends the mails that are due: to users, and to those who run the site."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from django_sf_oauth.management.command import Command as BaseCommand
from django_sf_oauth.services import alerts, digest, notices

NO_HURRY = 24 * 3600.0  # seconds; an operator stops the command, no worker's time limit does


class Command(BaseCommand):
    help = "Tells users by mail that a connection needs them, and operators that Salesforce refuses an app."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        self.add_dry_run(parser)
        parser.add_argument("--digest", action="store_true", help="Instead, send the digest of the day.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["dry_run"]:
            due = len(list(digest.due_digests())) if options["digest"] else _due()
            self.report({"to_send": due}, options)
        elif options["digest"]:
            self.finish(digest.send_digests(), options)
        else:
            self.finish(alerts.send_alerts() + notices.send_notices(budget=NO_HURRY), options)


def _due() -> int:
    return len(alerts.due_alerts()) + notices.due_notices().count()
