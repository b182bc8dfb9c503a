"""Lists connections, never their tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from django_sf_oauth.management.command import Command as BaseCommand
from django_sf_oauth.models import SalesforceConnection

COLUMNS = ("uuid", "status", "reason", "app", "organization_id", "username", "user")


class Command(BaseCommand):
    help = "Lists the Salesforce connections, oldest first; without a selection all of them."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        self.add_selection(parser)
        parser.add_argument(
            "--status", choices=SalesforceConnection.Status.values, help="Only those of one status."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        empty = self.selection(options).is_empty
        rows = self.selected({**options, "everything": True} if empty else options)
        if options["status"]:
            rows = rows.filter(status=options["status"])
        found = rows.select_related("user").defer("access_token", "refresh_token").iterator(500)
        self._write_json(found) if options["json"] else self._write_table(found)

    def _write_json(self, rows: Iterator[SalesforceConnection]) -> None:
        """One array, written row by row: a million connections need not fit in memory."""
        before = "["
        for row in rows:
            self.stdout.write(before + json.dumps(described(row), cls=DjangoJSONEncoder), ending="")
            before = ",\n"
        self.stdout.write("[]" if before == "[" else "]")

    def _write_table(self, rows: Iterator[SalesforceConnection]) -> None:
        for row in rows:
            facts = described(row)
            self.stdout.write("\t".join(str(facts[name]) for name in COLUMNS))


def described(row: SalesforceConnection) -> dict[str, Any]:
    """What may be told of a connection."""
    return {
        "uuid": row.uuid,
        "user": row.user.get_username(),
        "app": row.app,
        "organization_id": row.organization_id,
        "organization_name": row.organization_name,
        "is_sandbox": row.is_sandbox,
        "salesforce_user_id": row.salesforce_user_id,
        "username": row.username,
        "instance_url": row.instance_url,
        "scopes": row.scopes,
        "status": row.status,
        "reason": row.reason,
        "is_default": bool(row.is_default),
        "connected_at": row.connected_at,
        "last_used_at": row.last_used_at,
        "last_refreshed_at": row.last_refreshed_at,
        "next_refresh_at": row.next_refresh_at,
    }
