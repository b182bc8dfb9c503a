"""Verifies the audit trail, exports it, and tells whose a token is that somebody has found."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from getpass import getpass
from typing import Any, TextIO

from django.core.management.base import CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.views.decorators.debug import sensitive_variables

from django_sf_oauth.management.command import SOME_FAILED, USAGE
from django_sf_oauth.management.command import Command as BaseCommand
from django_sf_oauth.services import audit_verification, auditing
from django_sf_oauth.services.selection import NoSuchUser

STANDARD = "-"


class Command(BaseCommand):
    help = "Verifies or exports the audit trail, or finds out whose token was found; of all connections, or some."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        self.add_selection(parser)
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--verify", action="store_true", help="Name whatever is not as it was written.")
        what.add_argument("--export", metavar="FILE", help="Write the events as JSON lines; - is stdout.")
        what.add_argument("--fingerprint", metavar="FILE", help="Look for the token in this file; - is stdin.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["verify"]:
                self._verify(options)
            elif options["export"]:
                self._export(options)
            else:
                self._find(options)
        except (NoSuchUser, ValueError) as error:
            raise CommandError(str(error), returncode=USAGE) from None
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.", returncode=USAGE) from None

    def _verify(self, options: Mapping[str, Any]) -> None:
        selection, counts = self.selection(options), Counter(hold=0, wrong=0)
        whole = selection.is_empty or selection.everything
        for wrong in audit_verification.verify(auditing.events_of(selection), counts, whole=whole):
            self._tell(asdict(wrong), options)
        self.report(counts, options)
        if counts["wrong"]:
            raise CommandError("The audit trail is not what was written.", returncode=SOME_FAILED)

    def _export(self, options: Mapping[str, Any]) -> None:
        events = auditing.events_of(self.selection(options))
        with self._output(options["export"]) as out:
            for facts in auditing.exported(events):
                out.write(json.dumps(facts) + "\n")

    @contextmanager
    def _output(self, name: str) -> Iterator[Any]:
        if name == STANDARD:
            yield self.stdout
            return
        with open(name, "w", encoding="utf-8") as file:
            yield file

    @sensitive_variables()
    def _find(self, options: Mapping[str, Any]) -> None:
        places: Counter[str] = Counter()
        for holder in auditing.whose(_token(options["fingerprint"]), self.selection(options)):
            places[holder.place] += 1
            self._tell(asdict(holder), options)
        unreadable = places.pop("unreadable", 0)
        if not places and not options["json"]:
            self.stdout.write("It is none of these.")
        if unreadable:
            raise CommandError(f"{unreadable} rows could not be read.", returncode=SOME_FAILED)

    def _tell(self, facts: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        told = {name: fact for name, fact in facts.items() if fact not in (None, "")}
        if options["json"]:
            self.stdout.write(json.dumps(told, cls=DjangoJSONEncoder))
        else:
            self.stdout.write(" ".join(f"{name}={fact}" for name, fact in told.items()))


@sensitive_variables()
def _token(name: str) -> str:
    """Never from the command line, which other users of the machine can read."""
    if name != STANDARD:
        with open(name, encoding="utf-8") as file:
            return _line(file)
    return getpass("Token: ") if sys.stdin.isatty() else _line(sys.stdin)


@sensitive_variables()
def _line(file: TextIO) -> str:
    if token := file.readline().strip():
        return token
    raise CommandError("There is no token to look for.", returncode=USAGE)
