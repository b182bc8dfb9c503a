"""The documentation says what there is: no name missing, none invented."""

from __future__ import annotations

import ast
import pkgutil
import re
from argparse import ArgumentParser
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
from django.core.management import BaseCommand, load_command_class

from django_sf_oauth import exceptions, signals, tasks, urls
from django_sf_oauth.conf import ENVIRONMENT_KEYS, KNOWN_KEYS, READERS, AppSettings, Timeouts
from django_sf_oauth.management import commands
from django_sf_oauth.models import ConnectionEvent, SalesforceConnection
from django_sf_oauth.protocol.classification import TABLE, Actor
from django_sf_oauth.services.failures import FAILURES

from .pages import PAGES, ROOT, anchors, links, page, section

SETTINGS = "docs/reference/settings.md"
EXCEPTIONS = "docs/reference/exceptions.md"
MODELS = "docs/reference/models.md"
COMMANDS = "docs/reference/commands.md"
CHECKS = "docs/reference/checks.md"
URLS = "docs/reference/urls-and-templates.md"

DEMO = "python -m pip install tox && tox run -e demo"
TESTS = "python -m pip install tox && tox"


def first_column(text: str) -> list[str]:
    """The names in backticks that begin the rows of a table."""
    cells = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    return list(chain.from_iterable(re.findall(r"`([^`]+)`", cell) for cell in cells))


# Settings


def test_every_setting_is_in_the_reference() -> None:
    headings = set(re.findall(r"^### `(\w+)`$", page(SETTINGS), re.MULTILINE))

    assert headings == KNOWN_KEYS | {"FERNET_KEYS", "FERNET_USE_HKDF"}


def defaults_told() -> dict[str, Any]:
    told = {}
    for key in sorted(KNOWN_KEYS):
        match = re.search(r"default `([^`]+)`", section(SETTINGS, f"`{key}`"))
        if match:
            told[key] = ast.literal_eval(match[1])
    return told


@pytest.mark.parametrize(("key", "told"), defaults_told().items())
def test_a_default_in_the_reference_is_the_default(key: str, told: Any) -> None:
    app = AppSettings(alias="default", client_id="x")
    read = READERS.get(key.lower(), lambda value: value)

    assert getattr(app, key.lower()) == read(told)


def test_the_timeouts_in_the_reference_are_the_defaults() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", section(SETTINGS, "`TIMEOUTS`"), re.MULTILINE)

    assert Timeouts(**{name: float(seconds) for name, seconds in rows}) == Timeouts()
    assert {name for name, _ in rows} == set(Timeouts.__slots__)


def test_every_environment_variable_is_in_the_reference() -> None:
    keys = {"CLIENT_ID", "CLIENT_SECRET", "PUBLIC_CLIENT", *ENVIRONMENT_KEYS}

    assert set(re.findall(r"^\| `SALESFORCE_(\w+)`", page(SETTINGS), re.MULTILINE)) == keys


# Checks, exceptions, signals, models


CHECKED_BY = ("checks.py", "deploy_checks.py", "key_checks.py")
MAKERS = {"_error": "E", "_warning": "W"}


def checks() -> list[tuple[str, str]]:
    """The ids that the checks can report, each with the source of its message."""
    trees = [ast.parse((ROOT / "django_sf_oauth" / name).read_text(encoding="utf-8")) for name in CHECKED_BY]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    made = [(MAKERS.get(ast.unparse(call.func)), call.args) for call in calls]
    return [
        (f"{letter}{ast.literal_eval(number):03}", ast.unparse(message))
        for letter, (number, message, *_) in [one for one in made if one[0]]
    ]


def test_every_check_is_in_the_reference() -> None:
    told = re.findall(r"^\| `django_sf_oauth\.([EW]\d{3})` \|", page(CHECKS), re.MULTILINE)

    assert sorted(told) == sorted({number for number, _ in checks()})


@pytest.mark.parametrize(("number", "message"), checks())
def test_a_check_in_the_reference_names_the_setting_that_is_wrong(number: str, message: str) -> None:
    row = page(CHECKS).partition(f"`django_sf_oauth.{number}`")[2].partition("\n")[0]

    assert [name for name in re.findall(r"[A-Z]+(?:_[A-Z]+)+", message) if name not in row] == []


def test_every_signal_is_in_the_reference() -> None:
    assert sorted(first_column(page("docs/reference/signals.md"))) == signals.__all__


def test_every_exception_is_in_the_reference() -> None:
    assert sorted(re.findall(r"autoexception:: (\w+)", page(EXCEPTIONS))) == exceptions.__all__


def test_every_code_that_asks_somebody_to_act_is_in_the_reference() -> None:
    acting = {rule.reason for rule in TABLE if rule.actor in {Actor.USER, Actor.CUSTOMER_ADMIN}}

    assert acting | set(FAILURES) <= set(first_column(page(EXCEPTIONS)))


def test_every_field_of_a_connection_is_in_the_reference() -> None:
    fields = {field.name for field in SalesforceConnection._meta.concrete_fields} - {"id"}

    assert set(first_column(section(MODELS, "SalesforceConnection"))) == fields


def test_every_status_is_in_the_reference() -> None:
    assert first_column(section(MODELS, "Status")) == SalesforceConnection.Status.values


def test_every_kind_of_event_is_in_the_reference() -> None:
    kinds = re.search(r"^Kinds: (.+)$", section(MODELS, "ConnectionEvent"), re.MULTILINE)

    assert re.findall(r"`(\w+)`", kinds[1] if kinds else "") == ConnectionEvent.Kind.values


# Commands, URLs, templates, tasks

COMMAND_NAMES = sorted(module.name for module in pkgutil.iter_modules(commands.__path__))


def test_every_command_is_in_the_reference() -> None:
    assert sorted(re.findall(r"^## `(\w+)`$", page(COMMANDS), re.MULTILINE)) == COMMAND_NAMES


def options_of(parser: ArgumentParser) -> Iterator[str]:
    return chain.from_iterable(action.option_strings for action in parser._actions)


@pytest.mark.parametrize("name", COMMAND_NAMES)
def test_every_option_is_in_the_reference(name: str) -> None:
    plain = set(options_of(BaseCommand().create_parser("manage.py", "plain")))
    command = load_command_class("django_sf_oauth", name)
    own = set(options_of(command.create_parser("manage.py", name))) - plain
    told = re.findall(r"--[a-z-]+", page(COMMANDS))

    assert own <= set(told)


def test_every_url_is_in_the_reference() -> None:
    rows = dict(re.findall(r"^\| `sf_oauth:(\w+)` \| `([^`]+)` \|", page(URLS), re.MULTILINE))

    assert rows == {one.name: str(one.pattern).replace("<uuid:uuid>", "<uuid>") or "/" for one in urls.urlpatterns}


def test_every_template_is_in_the_reference() -> None:
    templates = ROOT / "django_sf_oauth" / "templates"
    names = {str(path.relative_to(templates)) for path in templates.rglob("*.html") if "admin" not in path.parts}

    assert set(first_column(section(URLS, "Templates"))) == names


def test_every_task_is_in_the_how_to() -> None:
    told = first_column(section("docs/how-to/refresh-in-the-background.md", "With Celery"))

    assert {name.removeprefix("django_sf_oauth.") for name in told} == set(tasks.__all__) - {"beat_schedule"}


# Security

REQUIREMENTS = re.findall(
    r"^\| .+ \| `(tests/\S+)::(\w+)` \|$", page("docs/reference/security-requirements.md"), re.MULTILINE
)


@pytest.mark.parametrize(("path", "name"), REQUIREMENTS, ids=[name for _, name in REQUIREMENTS])
def test_a_requirement_names_a_test_that_exists(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))

    assert name in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def test_each_row_of_the_requirements_names_a_test() -> None:
    rows = re.findall(r"^\| [^-].*\|$", page("docs/reference/security-requirements.md"), re.MULTILINE)

    assert len([row for row in rows if not row.startswith("| Requirement")]) == len(REQUIREMENTS) > 0


# The whole


@pytest.mark.parametrize("name", PAGES)
def test_links_resolve(name: str) -> None:
    for target in links(name):
        path, _, anchor = target.partition("#")
        found = ((ROOT / name).parent / path).resolve() if path else ROOT / name

        assert found.exists(), target
        assert not anchor or anchor in anchors(str(found.relative_to(ROOT))), target


def test_every_dotted_name_exists() -> None:
    names = set(re.findall(r"django_sf_oauth(?:\.\w+)+", "\n".join(map(page, PAGES))))
    celery = {f"django_sf_oauth.{name}" for name in tasks.__all__}
    ids = {f"django_sf_oauth.{number}" for number, _ in checks()}

    for name in sorted(names - celery - ids):
        pkgutil.resolve_name(name)


def test_the_commands_of_the_readme_are_the_ones_that_run() -> None:
    lines = page("README.md").splitlines()
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    assert [line for line in lines if line.startswith("python -m pip install tox")] == [DEMO, TESTS]
    assert "[testenv:demo]" in (ROOT / "tox.ini").read_text(encoding="utf-8")
    assert f"'^{TESTS}$' README.md" in ci


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_the_documentation_is_in_the_contents(name: str) -> None:
    inside = name.removeprefix("docs/").removesuffix(".md")

    assert "/" not in inside or f"\n{inside}\n" in page("docs/index.md")
