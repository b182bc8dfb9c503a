"""``manage.py demo``: the whole on this machine, until Ctrl-C."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.urls import reverse

from django_sf_oauth.models import SalesforceConnection
from example_project.demo.banner import fake_banner, real_banner
from example_project.demo.people import Person, known_people, private_people, seed
from example_project.demo.ports import PortTaken, choose_port
from example_project.demo.processes import ChildEnded, Children, Stop
from example_project.demo.storage import clear_messages, forget, forget_connections
from example_project.settings import BASE_DIR, MAIL_FILES, USES_FAKE, VAR

SITE_HOST, FAKE_HOST = "localhost", "127.0.0.1"  # two hosts: cookies stay apart, and SameSite is real
MANAGE = str(BASE_DIR / "manage.py")
WORKER = ("-m", "celery", "-A", "example_project", "worker", "--beat", "--pool", "threads", "--loglevel", "INFO")


class Command(BaseCommand):
    help = "Runs the site, a fake Salesforce and the background refresher. Ctrl-C stops them all."
    # They look at the database, which may be what --reset is to throw away. The site checks itself as it starts.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--port", type=int, default=8000, help="Of the site; 0 picks a free one. Default: 8000.")
        add("--fake-port", type=int, default=8001, help="Of the fake; 0 picks a free one. Default: 8001.")
        add("--reset", action="store_true", help="Forget what earlier runs have stored.")
        add("--verbose", action="store_true", help="Show what the processes print, instead of writing logs.")

    def handle(self, *args: Any, **options: Any) -> None:
        stop = Stop()
        if options["reset"] and connection.vendor != "sqlite":
            raise CommandError("--reset deletes a file, and DATABASE_URL names a server: empty that one yourself.")
        port, fake_port = _ports(options["port"], options["fake_port"])
        self._say("Starting …")
        people = _prepare(reset=options["reset"])
        with Children(
            environment=_environment(port, fake_port), logs=None if options["verbose"] else VAR
        ) as children:
            try:
                self._run(children, stop, port, fake_port, people)
            except ChildEnded as error:
                raise CommandError(str(error)) from None
            finally:
                self._say("Stopping …")
        self._say("Stopped.")

    def _run(self, children: Children, stop: Stop, port: int, fake_port: int, people: list[Person]) -> None:
        if stop.asked:
            return
        places = [(SITE_HOST, port)]
        children.start("site", MANAGE, "runserver", "--noreload", f"{SITE_HOST}:{port}")
        if fake_port:
            places.append((FAKE_HOST, fake_port))
            children.start("fake", MANAGE, "sf_oauth_fake", "--host", FAKE_HOST, "--port", str(fake_port))
        children.start("refresher", *WORKER)
        children.wait_until_ready(places, stop)
        if not stop.asked:
            self._say(_banner(f"http://{SITE_HOST}:{port}", fake_port, people))
            self._say("  Ctrl-C stops it." + (f" Logs: {children.logs}/*.log" if children.logs else ""))
        children.watch(stop)

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()  # tox reads it through a pipe


def _ports(port: int, fake_port: int) -> tuple[int, int]:
    """Those of the site and of the fake; 0 where there is no fake."""
    try:
        port = choose_port(SITE_HOST, port, option="--port")
        fake_port = USES_FAKE and choose_port(FAKE_HOST, fake_port, option="--fake-port")
    except PortTaken as error:
        raise CommandError(str(error)) from None
    if port == fake_port:
        raise CommandError("The site and the fake need a port each: --port and --fake-port.")
    return port, fake_port


def _prepare(*, reset: bool) -> list[Person]:
    """The database, and those who can sign in."""
    if reset:
        forget()
    clear_messages()
    call_command("migrate", verbosity=0, interactive=False)
    people = known_people() if USES_FAKE else private_people(VAR)
    if USES_FAKE:
        forget_connections()
    seed(people)
    return people


def _environment(port: int, fake_port: int) -> dict[str, str]:
    direct = ",".join(filter(None, [os.environ.get("NO_PROXY"), SITE_HOST, FAKE_HOST]))
    return {
        "DJANGO_DEBUG": "true",
        "DJANGO_SETTINGS_MODULE": "example_project.settings",
        "FAKE_SALESFORCE_URL": f"http://{FAKE_HOST}:{fake_port}",
        "NO_PROXY": direct,
        "no_proxy": direct,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(BASE_DIR.parent), os.environ.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
        "SALESFORCE_SITE_URL": f"http://{SITE_HOST}:{port}",
    }


def _banner(site: str, fake_port: int, people: list[Person]) -> str:
    if not fake_port:
        return real_banner(site=site, people=people, callback=f"{site}{reverse('sf_oauth:callback')}")
    panel = f"http://{FAKE_HOST}:{fake_port}/__panel__/"
    forgotten = SalesforceConnection.objects.connected().count()
    return fake_banner(site=site, panel=panel, people=people, forgotten=forgotten, mails=MAIL_FILES)
