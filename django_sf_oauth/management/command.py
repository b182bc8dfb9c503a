"""What the commands share: selecting connections, reporting, and an exit code that tells the truth."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import re
import sys
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from django_sf_oauth.models.queryset import SalesforceConnectionQuerySet
from django_sf_oauth.services.selection import NoSuchUser, Selection

__all__ = ["SOME_FAILED", "USAGE", "Command", "duration", "moment", "operator"]

SOME_FAILED = 1
USAGE = 2
NOT_DONE = frozenset(
    {"blocked", "dead", "failed", "given_up", "misconfigured", "pending", "postponed", "unavailable", "under_way"}
)
UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Command(BaseCommand):
    """The base of this package's commands. They exit with 0 (done), 1 (some failed) or 2 (wrong usage)."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="Report as JSON.")

    def add_selection(self, parser: CommandParser) -> None:
        group = parser.add_argument_group("which connections")
        group.add_argument("uuids", nargs="*", type=UUID, metavar="UUID", help="Connections by their uuid.")
        group.add_argument("--all", action="store_true", dest="everything", help="All connections.")
        group.add_argument("--user", default="", help="Those of one user: what they sign in with, or their key.")
        group.add_argument("--org", default="", help="Those to one organization: its id, 15 or 18 characters.")
        group.add_argument("--app", default="", help="Those of one connected app: its alias.")
        group.add_argument(
            "--since", type=moment, metavar="WHEN", help="Those connected at that time or later (ISO 8601)."
        )

    def add_dry_run(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Say what would be done, and do nothing.")

    def selection(self, options: Mapping[str, Any]) -> Selection:
        return Selection(
            everything=options["everything"],
            uuids=tuple(options["uuids"]),
            user=options["user"],
            org=options["org"],
            app=options["app"],
            since=options["since"],
        )

    def selected(self, options: Mapping[str, Any]) -> SalesforceConnectionQuerySet:
        """The connections that the options name. Naming none, or one that is not there, is wrong usage."""
        selection = self.selection(options)
        if selection.is_empty:
            raise CommandError(
                "Say which connections: uuids, --user, --org, --app, --since or --all.", returncode=USAGE
            )
        try:
            rows = selection.connections()
        except (NoSuchUser, ValueError) as error:
            raise CommandError(str(error), returncode=USAGE) from None
        missing = set(selection.uuids) - set(rows.values_list("uuid", flat=True)) if selection.uuids else set()
        if missing:
            raise CommandError(f"Not found: {', '.join(sorted(map(str, missing)))}.", returncode=USAGE)
        return rows

    def confirm(self, question: str, *, yes: bool) -> None:
        """Asks, unless ``--yes`` was given; without a terminal nobody could answer."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise CommandError("Nobody is there to be asked: give --yes.", returncode=USAGE)
        if input(f"{question} [y/N] ").strip().lower() not in {"y", "yes"}:
            raise CommandError("Nothing was done.", returncode=SOME_FAILED)

    def report(self, counts: Mapping[str, int], options: Mapping[str, Any]) -> None:
        """Prints how many ended how."""
        if options["json"]:
            self.stdout.write(json.dumps(dict(counts), sort_keys=True))
            return
        for ending, number in sorted(counts.items()):
            self.stdout.write(f"{ending.replace('_', ' ')}: {number}")

    def finish(self, counts: Mapping[str, int], options: Mapping[str, Any]) -> None:
        """Reports, and fails if anything was left undone."""
        self.report(counts, options)
        if left := sum(number for ending, number in counts.items() if ending in NOT_DONE):
            raise CommandError(f"{left} of {sum(counts.values())} not done.", returncode=SOME_FAILED)


def operator() -> str:
    """Who runs the command, as far as the system knows."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return f"uid {os.getuid()}"


def duration(text: str) -> timedelta:
    """Reads ``30m``, ``2h`` or ``1d``."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError("expected a time such as 30m, 2h or 1d")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def moment(text: str) -> datetime:
    """Reads a date or a date with time; without an offset it is in the site's time zone."""
    try:
        day = parse_date(text)
        found = datetime.combine(day, time.min) if day else parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise argparse.ArgumentTypeError("expected a date such as 2026-01-31 or 2026-01-31T12:00")
    return timezone.make_aware(found) if settings.USE_TZ and timezone.is_naive(found) else found
