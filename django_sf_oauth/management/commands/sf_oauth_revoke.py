"""Disconnects connections, or finishes what is pending at Salesforce."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError, CommandParser

from django_sf_oauth.management.command import USAGE
from django_sf_oauth.management.command import Command as BaseCommand
from django_sf_oauth.models import PendingRevocation
from django_sf_oauth.services import revoking

NO_HURRY = 7 * 24 * 3600.0  # seconds; an operator stops the command, no worker's time limit does


class Command(BaseCommand):
    help = "Forgets the tokens of the connections that are named and revokes them at Salesforce."

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
        ids = list(self.selected(options).connected().values_list("pk", flat=True))
        if options["dry_run"]:
            self.report({"to_revoke": len(ids)}, options)
            return
        self.confirm(f"Disconnect {len(ids)} connections for good?", yes=options["yes"])
        self.finish(revoking.disconnect_connections(ids, budget=NO_HURRY), options)

    def _revoke_pending(self, options: Mapping[str, Any]) -> None:
        if not self.selection(options).is_empty:
            raise CommandError("--pending takes all that wait: name no connections.", returncode=USAGE)
        if options["dry_run"]:
            self.report({"to_revoke": PendingRevocation.objects.count()}, options)
            return
        counts = revoking.revoke_pending(limit=PendingRevocation.objects.count(), budget=NO_HURRY)
        self.finish(counts, options)
