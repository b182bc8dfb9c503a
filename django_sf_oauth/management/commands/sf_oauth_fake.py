"""``manage.py sf_oauth_fake``: a fake Salesforce on a local port, with login, consent and a control panel."""

from __future__ import annotations

from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from django_sf_oauth.exceptions import ConfigurationError
from django_sf_oauth.testing.controls import PASSWORD
from django_sf_oauth.testing.fake import FakeSalesforce
from django_sf_oauth.testing.from_settings import fake_from_settings
from django_sf_oauth.testing.seed import seed_demo
from django_sf_oauth.testing.server import FakeServer, NotLoopback


class Command(BaseCommand):
    help = (
        "Serves a fake of Salesforce for development: OAuth with login and consent pages, a little of the REST "
        "API, and a control panel at /__panel__/. It is not Salesforce, and must never face the internet."
    )
    # The checks of the site may ask for more than a fake needs.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--host", default="127.0.0.1", help="Address to listen on; beyond loopback only with --allow-remote.")
        add("--port", type=int, default=8001, help="0 picks a free one. Default: 8001.")
        add("--client-id", help="The consumer key to accept. Default: the apps of SALESFORCE_OAUTH.")
        add("--client-secret", help="The made-up consumer secret of --client-id; none makes a public client.")
        add("--redirect-uri", action="append", help="A callback URL to accept, repeatable. Default: any.")
        add("--seed", choices=["demo", "none"], default="demo", help="Whether further users and orgs exist.")
        add("--no-rotation", action="store_true", help="Refresh tokens stay the same.")
        add("--allow-remote", action="store_true", help="Let other machines reach it.")
        add("--allow-production", action="store_true", help="Start although DEBUG is off.")

    def handle(self, *args: Any, **options: Any) -> None:
        if not (settings.DEBUG or options["allow_production"]):
            raise CommandError("DEBUG is off, as in production. --allow-production starts the fake anyway.")
        fake = _fake(options)
        try:
            server = FakeServer(
                fake, host=options["host"], port=options["port"], allow_remote=options["allow_remote"]
            )
        except NotLoopback as error:
            raise CommandError(str(error)) from error
        except (OSError, OverflowError) as error:
            place = f"{options['host']}, port {options['port']}"
            raise CommandError(f"It cannot listen on {place}: {error}. Give another --port or --host.") from error
        with server:
            self._greet(fake, server.url)
            _wait(server)
        self.stdout.write("Stopped.")

    def _greet(self, fake: FakeSalesforce, url: str) -> None:
        self.stdout.write(self.style.SUCCESS(f"A fake Salesforce is at {url}"))
        self.stdout.write(f"  The site's LOGIN_URL: {url}, and its TRUSTED_HOSTS: {url.partition('://')[2]}")
        self.stdout.write(f"  Control panel: {url}/__panel__/")
        self.stdout.write(f"  Log in as {fake.user.username} with {PASSWORD}")
        self.stdout.write("Stop it with Ctrl-C.")
        self.stdout.flush()


def _fake(options: dict[str, Any]) -> FakeSalesforce:
    fake = _fake_with_apps(options)
    for app in fake.world.apps.values():
        app.redirect_uris = options["redirect_uri"]
    fake.rotation = not options["no_rotation"]
    if options["seed"] == "demo":
        seed_demo(fake)
    return fake


def _fake_with_apps(options: dict[str, Any]) -> FakeSalesforce:
    if client_id := options["client_id"]:
        return FakeSalesforce(client_id=client_id, client_secret=options["client_secret"])
    try:
        return fake_from_settings()
    except ConfigurationError as error:
        raise CommandError(f"{error} Or give --client-id.") from error


def _wait(server: FakeServer) -> None:
    """Until Ctrl-C, which is how it is meant to end."""
    with suppress(KeyboardInterrupt):
        server.wait()
