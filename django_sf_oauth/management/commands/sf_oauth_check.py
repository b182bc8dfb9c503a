"""Says whether this site is set up for Salesforce."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.core import checks
from django.core.management.base import CommandError, CommandParser

from django_sf_oauth.conf import get_apps
from django_sf_oauth.exceptions import ConfigurationError
from django_sf_oauth.management.command import SOME_FAILED
from django_sf_oauth.management.command import Command as BaseCommand
from django_sf_oauth.services.live_check import trouble_with

Finding = Mapping[str, Any]

UNREACHED = frozenset({"connection", "timeout"})  # reasons of an exchange that no answer came to


class Command(BaseCommand):
    help = "Checks the settings; with --live also whether Salesforce knows each connected app."
    requires_system_checks: list[str] = []  # it runs them itself, to report all that they find

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--live", action="store_true", help="Ask Salesforce about each connected app.")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = [*check_settings(), *(ask_salesforce() if options["live"] else ())]
        if options["json"]:
            self.stdout.write(json.dumps(findings))
        else:
            self._write(findings)
        wrong = sum(not finding["ok"] for finding in findings)
        if wrong:
            raise CommandError(f"{wrong} to mend.", returncode=SOME_FAILED)

    def _write(self, findings: list[Finding]) -> None:
        for finding in findings:
            mark = self._mark(finding)
            self.stdout.write(f"{mark} {finding['subject']}: {finding['message']}")

    def _mark(self, finding: Finding) -> str:
        if not finding["ok"]:
            return self.style.ERROR("!!")
        is_warning = finding["subject"].startswith("django_sf_oauth.")
        return self.style.WARNING("warning") if is_warning else self.style.SUCCESS("ok")


def check_settings() -> list[Finding]:
    """What the system checks of this package say; a warning is told, but fails nothing."""
    found = checks.run_checks(app_configs=[apps.get_app_config("django_sf_oauth")], databases=["default"])
    mine = [one for one in found if (one.id or "").startswith("django_sf_oauth.")]
    told: list[Finding] = [
        {"subject": one.id, "ok": not one.is_serious(), "message": str(one.msg)} for one in mine
    ]
    return told or [{"subject": "settings", "ok": True, "message": "nothing to say"}]


def ask_salesforce() -> list[Finding]:
    """What Salesforce says of each connected app."""
    try:
        known = get_apps()
    except ConfigurationError as error:
        return [{"subject": "settings", "ok": False, "message": str(error)}]
    return [_ask_about(alias) for alias in known]


def _ask_about(alias: str) -> Finding:
    app = get_apps()[alias]
    trouble = trouble_with(app)
    return {"subject": f"app {alias}", "ok": not trouble, "message": f"{app.login_url} {_in_words(trouble)}"}


def _in_words(trouble: str) -> str:
    if trouble in UNREACHED:
        return f"cannot be reached: {trouble}. Does it run, and does a proxy or a firewall stand in between?"
    return f"does not take it: {trouble}" if trouble else "knows it"
