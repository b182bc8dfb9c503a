"""Re-encrypts all that is sealed under the newest key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from django_sf_oauth.exceptions import ConfigurationError
from django_sf_oauth.keyring import keyring
from django_sf_oauth.management.command import SOME_FAILED
from django_sf_oauth.management.command import Command as BaseCommand
from django_sf_oauth.management.progress import Progress
from django_sf_oauth.services.audit_keys import needing_older_keys, resign
from django_sf_oauth.services.keys import Rotation, rotate_keys


class Command(BaseCommand):
    help = "Re-encrypts all tokens under the newest key. It ends with 0 once the old keys may be removed."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        self.add_dry_run(parser)
        parser.add_argument(
            "--verify", action="store_true", help="Also open what the newest key holds already, to find damage."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        progress = Progress(self.stderr)
        try:
            rotation = rotate_keys(dry_run=options["dry_run"], verify=options["verify"], tell=progress)
        except ConfigurationError as error:
            raise CommandError(str(error), returncode=SOME_FAILED) from None
        finally:
            progress.end()
        # An old key that is gone could not show any more that the audit trail is as it was written.
        audit = {} if options["dry_run"] else dict(resign())
        audit["under_older_keys"] = needing_older_keys()
        self._write_json(rotation, audit) if options["json"] else self._write_text(rotation, audit)
        if rotation.left or audit["under_older_keys"]:
            raise CommandError(f"Keep the old keys: {_what_needs_them(rotation, audit)}.", returncode=SOME_FAILED)
        if rotation.unreadable:
            raise CommandError("The old keys may go, but not all tokens can be read.", returncode=SOME_FAILED)

    def _write_json(self, rotation: Rotation, audit: Mapping[str, int]) -> None:
        facts = {**asdict(rotation), "left": rotation.left, "audit": audit}
        self.stdout.write(json.dumps(facts, cls=DjangoJSONEncoder, sort_keys=True))

    def _write_text(self, rotation: Rotation, audit: Mapping[str, int]) -> None:
        self._write_counts("before", rotation.before)
        self._write_counts("after", rotation.after)
        for row in rotation.unreadable:
            model = row.model.rpartition(".")[2]
            self.stdout.write(f"cannot be read: {model} {row.uuid}: {', '.join(row.fields)}")
        for what, number in audit.items():
            if number:
                self.stdout.write(f"audit trail, {what.replace('_', ' ')}: {number:,}")
        if not rotation.left and not audit["under_older_keys"]:
            self.stdout.write("All is under the newest key: the old ones may be removed.")

    def _write_counts(self, when: str, counts: Mapping[str, int]) -> None:
        self.stdout.write(f"{when}:")
        for key_id, number in sorted(counts.items()):
            self.stdout.write(f"  {_named(key_id)}: {_values(number)}")


def _named(key_id: str) -> str:
    """A key as its operator knows it: by its place in the list."""
    if not key_id:
        return "no key"
    places = {known: place for place, known in enumerate(keyring(), 1)}
    place = places.get(key_id)
    return f"key {key_id} ({'unknown' if place is None else 'newest' if place == 1 else f'number {place}'})"


def _what_needs_them(rotation: Rotation, audit: Mapping[str, int]) -> str:
    if rotation.left:
        return f"{_values(rotation.left)} not under the newest"
    return f"{audit['under_older_keys']:,} of the audit trail not signed under the newest"


def _values(number: int) -> str:
    return f"{number:,} value" if number == 1 else f"{number:,} values"
