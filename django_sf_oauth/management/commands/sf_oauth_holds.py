"""Shows what is held back: by the kill switch, the breaker and the fleet guard; stops more, and lets go of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from django_sf_oauth.exceptions import ConfigurationError
from django_sf_oauth.management.command import SOME_FAILED, USAGE, duration, operator
from django_sf_oauth.management.command import Command as BaseCommand
from django_sf_oauth.services import holding

LONGEST_REASON = 64  # characters


class Command(BaseCommand):
    help = "Lists what is held back by kill switch, breaker and fleet guard; stops more of it; or releases it."
    requires_system_checks = ()  # on the worst day, no mistake in the settings may be in its way

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        self.add_dry_run(parser)
        which = parser.add_mutually_exclusive_group()
        which.add_argument(
            "--stop",
            nargs="+",
            metavar="SCOPE",
            default=(),
            help="Stop the use of Salesforce in every process: all, app:ALIAS, or org:00D… (15 or 18 characters).",
        )
        which.add_argument(
            "--release",
            nargs="+",
            metavar="SCOPE",
            default=(),
            help="End these holds. For a fleet guard this means that the grants are dead: it flags them.",
        )
        parser.add_argument(
            "--for",
            type=duration,
            dest="lasts",
            metavar="TIME",
            help="With --stop: 30m, 2h or 1d; else until released.",
        )
        parser.add_argument("--reason", default="stopped", help="With --stop: why, for whoever finds it.")
        parser.add_argument("--yes", action="store_true", help="Do not ask.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["stop"]:
            self._stop(_scopes(options["stop"]), options)
            return
        held = {hold.scope: hold for hold in holding.held()}
        if not options["release"]:
            self._show(list(held.values()), options)
            return
        if missing := [scope for scope in options["release"] if scope not in held]:
            raise CommandError(f"Not held: {', '.join(missing)}.", returncode=USAGE)
        self._release([held[scope] for scope in options["release"]], options)

    def _stop(self, scopes: Sequence[str], options: Mapping[str, Any]) -> None:
        connections = sum(holding.concerned(scope).count() for scope in scopes)
        if options["dry_run"]:
            self.report({"to_stop": len(scopes), "connections": connections}, options)
            return
        self.confirm(f"Stop {', '.join(scopes)}, with {connections} connections?", yes=options["yes"])
        until = timezone.now() + options["lasts"] if options["lasts"] else None
        for scope in scopes:
            holding.stop(scope, reason=options["reason"][:LONGEST_REASON], by=operator(), until=until)
        self.report({"stopped": len(scopes), "connections": connections}, options)
        if not options["json"]:
            self.stdout.write(f"To go on: manage.py sf_oauth_holds --release {' '.join(scopes)}")

    def _show(self, held: Sequence[holding.Held], options: Mapping[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps([asdict(hold) for hold in held], cls=DjangoJSONEncoder))
            return
        for hold in held:
            by = f" by {hold.set_by}" if hold.set_by else ""
            until = f"until {hold.until:%Y-%m-%d %H:%M %Z}" if hold.until else "until it is released"
            waiting = f", {hold.waiting} connections wait" if hold.waiting else ""
            self.stdout.write(f"{hold.scope}: {hold.reason}{by}, {until}{waiting}")
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


def _scopes(texts: Sequence[str]) -> list[str]:
    """All of them are right before one of them is set."""
    try:
        return [holding.scope_of(text) for text in texts]
    except ValueError as error:
        raise CommandError(str(error), returncode=USAGE) from None
