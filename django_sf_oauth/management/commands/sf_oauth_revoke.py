"""Disconnects connections, or finishes what is pending at Salesforce."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.core.management.base import CommandError, CommandParser

from django_sf_oauth.management.command import USAGE, operator
from django_sf_oauth.management.command import Command as BaseCommand
from django_sf_oauth.management.progress import Progress
from django_sf_oauth.models import PendingRevocation
from django_sf_oauth.services import revoking
from django_sf_oauth.services.holding import stopped_meanwhile

NO_HURRY = 7 * 24 * 3600.0  # seconds; an operator stops the command, no worker's time limit does


class Command(BaseCommand):
    help = "Forgets the tokens of the connections that are named and revokes them at Salesforce."
    requires_system_checks = ()  # on the worst day, no mistake in the settings may be in its way

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        self.add_selection(parser)
        self.add_dry_run(parser)
        parser.add_argument("--yes", action="store_true", help="Do not ask.")
        parser.add_argument(
            "--pending", action="store_true", help="Instead, ask Salesforce again for revocations that wait."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["pending"]:
            self._revoke_pending(options)
        else:
            self._disconnect(options)

    def _disconnect(self, options: Mapping[str, Any]) -> None:
        rows = self.selected(options)
        number, waiting = rows.connected().count(), revoking.waiting_for(rows).count()
        if options["dry_run"]:
            self.report({"to_revoke": number} | ({"pending": waiting} if waiting else {}), options)
            return
        self.confirm(f"Disconnect {number} connections for good?", yes=options["yes"])
        progress = Progress(self.stderr)
        # Also when none is left: a run that was killed may have left its stop behind.
        with stopped_meanwhile(self.selection(options).hold_scope, by=operator()):
            counts = revoking.revoke_connections(
                rows,
                budget=NO_HURRY,
                given_up=_adding(progress, number),
                settled=_adding(progress, number + waiting),
            )
        progress.end()
        self.finish(counts, options)

    def _revoke_pending(self, options: Mapping[str, Any]) -> None:
        if not self.selection(options).is_empty:
            raise CommandError("--pending takes all that wait: name no connections.", returncode=USAGE)
        number = PendingRevocation.objects.count()
        if options["dry_run"]:
            self.report({"to_revoke": number}, options)
            return
        progress = Progress(self.stderr)
        counts = revoking.revoke_pending(everything=True, budget=NO_HURRY, settled=_adding(progress, number))
        progress.end()
        self.finish(counts, options)


def _adding(progress: Progress, total: int) -> Callable[[int], None]:
    """Shows how far it is when told how many more there are; there may come more than were counted."""
    done = 0

    def add(number: int) -> None:
        nonlocal done
        done += number
        progress(done, max(done, total))

    return add
