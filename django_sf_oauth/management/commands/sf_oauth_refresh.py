"""Refreshes connections: chosen ones now, or those that are due."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import close_old_connections
from django.utils import timezone

from django_sf_oauth.management.command import USAGE
from django_sf_oauth.management.command import Command as BaseCommand
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.services import alerts, digest, dormancy, notices, pruning, revoking, schedule
from django_sf_oauth.services.sweep import oldest_due_age, refresh_due

NO_HURRY = 7 * 24 * 3600.0  # seconds; an operator stops the command, no worker's time limit does
DAY = timedelta(days=1)
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Command(BaseCommand):
    help = "Refreshes the connections that are named, or with --due those whose time has come."

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stop = threading.Event()
        self.next_day = timezone.now()

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        self.add_selection(parser)
        self.add_dry_run(parser)
        parser.add_argument("--due", action="store_true", help="Those that are due, instead of named ones.")
        parser.add_argument(
            "--loop",
            action="store_true",
            help="With --due: go on until stopped (Ctrl-C, SIGTERM), and do all else that the Celery tasks do.",
        )
        parser.add_argument("--interval", type=float, default=60.0, help="Seconds between two passes of --loop.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["loop"] and not options["due"]:
            raise CommandError("--loop goes with --due.", returncode=USAGE)
        if options["due"]:
            self._refresh_due(options)
        else:
            self._refresh_selected(options)

    def _refresh_selected(self, options: Mapping[str, Any]) -> None:
        ids = list(self.selected(options).connected().values_list("pk", flat=True))
        if options["dry_run"]:
            self.report({"to_refresh": len(ids)}, options)
        else:
            self.finish(schedule.refresh_connections(ids, forced=True, budget=NO_HURRY), options)

    def _refresh_due(self, options: Mapping[str, Any]) -> None:
        if not self.selection(options).is_empty:
            raise CommandError("--due chooses by itself: name no connections.", returncode=USAGE)
        if options["dry_run"]:
            due = SalesforceConnection.objects.due(timezone.now()).count()
            self.report({"to_refresh": due, "oldest_due_age": int(oldest_due_age())}, options)
        elif options["loop"]:
            self._loop(options)
        else:
            self.finish(self._sweep(), options)

    def _loop(self, options: Mapping[str, Any]) -> None:
        chores = (self._sweep, revoking.revoke_pending, alerts.send_alerts, notices.send_notices, self._daily)
        with stopped_by_signals(self.stop):
            while not self.stop.is_set():
                close_old_connections()  # one that the server dropped since the last pass is opened anew
                for chore in chores:
                    if not self.stop.is_set() and (counts := chore()):
                        self.report(counts, options)
                self.stop.wait(options["interval"])

    def _sweep(self) -> Counter[str]:
        """Claims and refreshes, batch after batch, all that is due now."""
        counts: Counter[str] = Counter()
        refresh_due(lambda ids: counts.update(schedule.refresh_connections(ids)), is_over=self.stop.is_set)
        return counts

    def _daily(self) -> Counter[str]:
        if timezone.now() < self.next_day:
            return Counter()
        self.next_day = timezone.now() + DAY
        return Counter(pruning.prune()) + dormancy.expire_dormant() + digest.send_digests()


@contextmanager
def stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Lets the batch that runs come to its end: a token that is being rotated would be lost."""
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
