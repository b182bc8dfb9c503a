"""Shows what is held back: by the kill switch, the breaker and the fleet guard; and lets go of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from django_sf_oauth.exceptions import ConfigurationError
from django_sf_oauth.management.command import SOME_FAILED, USAGE
from django_sf_oauth.management.command import Command as BaseCommand
from django_sf_oauth.services import holding


class Command(BaseCommand):
    help = "Lists what is held back by kill switch, breaker and fleet guard, or releases it."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        self.add_dry_run(parser)
        parser.add_argument(
            "--release",
            nargs="+",
            metavar="SCOPE",
            default=(),
            help="End these holds. For a fleet guard this means that the grants are dead: it flags them.",
        )
        parser.add_argument("--yes", action="store_true", help="Do not ask.")

    def handle(self, *args: Any, **options: Any) -> None:
        held = {hold.scope: hold for hold in holding.held()}
        if not options["release"]:
            self._show(list(held.values()), options)
            return
        if missing := [scope for scope in options["release"] if scope not in held]:
            raise CommandError(f"Not held: {', '.join(missing)}.", returncode=USAGE)
        self._release([held[scope] for scope in options["release"]], options)

    def _show(self, held: Sequence[holding.Held], options: Mapping[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps([asdict(hold) for hold in held], cls=DjangoJSONEncoder))
            return
        for hold in held:
            until = f"until {hold.until:%Y-%m-%d %H:%M %Z}" if hold.until else "until it is released"
            waiting = f", {hold.waiting} connections wait" if hold.waiting else ""
            self.stdout.write(f"{hold.scope}: {hold.reason}, {until}{waiting}")
        if not held:
            self.stdout.write("Nothing is held back.")

    def _release(self, held: Sequence[holding.Held], options: Mapping[str, Any]) -> None:
        to_flag = sum(hold.waiting for hold in held)
        if options["dry_run"]:
            self.report({"to_release": len(held), "to_flag": to_flag}, options)
            return
        if to_flag:
            self.confirm(f"Tell {to_flag} users to connect again?", yes=options["yes"])
        try:
            flagged = sum(holding.release(hold.scope) for hold in held)
        except ConfigurationError as error:
            raise CommandError(str(error), returncode=SOME_FAILED) from None
        self.report({"released": len(held), "flagged": flagged}, options)
