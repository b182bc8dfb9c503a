"""The Python in the documentation runs, against the fake that it tells about."""

from __future__ import annotations

import ast
import inspect
import unittest
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core import checks
from django.test import RequestFactory, override_settings

from django_sf_oauth import signals
from django_sf_oauth.checks import check_settings
from django_sf_oauth.key_checks import check_keys
from django_sf_oauth.middleware import SalesforceMiddleware
from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.testing import FakeSalesforce

from .pages import PAGES, Snippet, snippets

SNIPPETS = [snippet for name in PAGES for snippet in snippets(name)]
WITH_SNIPPETS = sorted({snippet.page for snippet in SNIPPETS if not snippet.excuse})


def names_defined(
    kind: type[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef], prefix: str = ""
) -> list[tuple[str, str]]:
    """Pages, and what their snippets define at the top."""
    return [
        (snippet.page, node.name)
        for snippet in SNIPPETS
        if not snippet.excuse
        for node in ast.parse(snippet.code).body
        if isinstance(node, kind) and node.name.startswith(prefix)
    ]


TESTS = names_defined(ast.FunctionDef, "test_")
TEST_CASES = [(page, name) for page, name in names_defined(ast.ClassDef) if name.endswith("Tests")]
VIEWS = [(page, name) for page, name in names_defined(ast.FunctionDef) if name in {"accounts", "limits"}]


def run_page(name: str, names: dict[str, Any], *, until: float = float("inf")) -> dict[str, Any]:
    """Runs the snippets of a page one after the other, up to the line `until`, in and into `names`."""
    for snippet in snippets(name):
        if snippet.line <= until and not snippet.excuse:
            run(snippet, names)
    return names


def run(snippet: Snippet, names: dict[str, Any]) -> None:
    # With blank lines in front, a traceback shows the line of the page.
    code = compile("\n" * (snippet.line - 1) + snippet.code, snippet.page, "exec")
    exec(code, names)  # noqa: S102  # our own pages


@pytest.fixture(autouse=True)
def receivers_go_again() -> Iterator[None]:
    kept = {name: list(getattr(signals, name).receivers) for name in signals.__all__}
    yield
    for name, receivers in kept.items():
        getattr(signals, name).receivers = receivers
        getattr(signals, name).sender_receivers_cache.clear()


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a page may take for granted of the project that it speaks of."""
    monkeypatch.setenv("SALESFORCE_CLIENT_ID", "3MVG9.of.the.environment")
    monkeypatch.setenv("SALESFORCE_CLIENT_SECRET", "of-the-environment")
    monkeypatch.setenv("FERNET_KEYS", "of-the-environment-and-long-enough-to-be-a-key")
    return {"__name__": "page", "INSTALLED_APPS": [], "MIDDLEWARE": [], "DATABASES": {"default": {}}}


@pytest.mark.parametrize("snippet", SNIPPETS, ids=str)
def test_a_snippet_is_python(snippet: Snippet) -> None:
    compile(snippet.code, snippet.page, "exec")


@pytest.mark.parametrize("name", WITH_SNIPPETS)
def test_the_snippets_of_a_page_run(
    name: str, project: dict[str, Any], salesforce_connection: SalesforceConnection
) -> None:
    names = {**project, "user": salesforce_connection.user, "connection": salesforce_connection}

    run_page(name, names)

    assert salesforce_connection.status == "active"


@pytest.mark.parametrize("snippet", [one for one in SNIPPETS if "SALESFORCE_OAUTH =" in one.code], ids=str)
def test_the_settings_in_a_snippet_are_right(snippet: Snippet, project: dict[str, Any]) -> None:
    run_page(snippet.page, project, until=snippet.line)
    found = {name: project[name] for name in ("SALESFORCE_OAUTH", "FERNET_KEYS") if name in project}

    with override_settings(**found):
        assert [one for one in (*check_settings(), *check_keys()) if one.level >= checks.WARNING] == []


@pytest.mark.parametrize(("name", "view"), VIEWS)
def test_a_view_in_a_snippet_answers(
    name: str,
    view: str,
    project: dict[str, Any],
    salesforce_connection: SalesforceConnection,
    rf: RequestFactory,
) -> None:
    names = {**project, "user": salesforce_connection.user, "connection": salesforce_connection}
    request = rf.get("/")
    request.user = salesforce_connection.user

    answer = SalesforceMiddleware(run_page(name, names)[view])(request)

    assert answer.status_code == 200


@pytest.mark.parametrize(("name", "function"), names_defined(ast.AsyncFunctionDef))
def test_an_async_function_in_a_snippet_runs(
    name: str,
    function: str,
    project: dict[str, Any],
    salesforce_connection: SalesforceConnection,
    rf: RequestFactory,
) -> None:
    names = {**project, "user": salesforce_connection.user, "connection": salesforce_connection}
    request: Any = rf.get("/")

    async def auser() -> Any:
        return salesforce_connection.user

    request.user, request.auser = salesforce_connection.user, auser
    given = {"request": request, "user": salesforce_connection.user}
    ran = run_page(name, names)[function]

    answer = async_to_sync(ran)(*[given[one] for one in inspect.signature(ran).parameters])

    assert getattr(answer, "status_code", 200) == 200
    assert answer


@pytest.mark.parametrize(("name", "test"), TESTS)
def test_a_test_in_a_snippet_passes(
    name: str, test: str, project: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    function = run_page(name, project)[test]
    marks = [mark for mark in getattr(function, "pytestmark", []) if mark.name == "django_db"]
    request.getfixturevalue("transactional_db" if marks else "db")
    wanted = function.__code__.co_varnames[: function.__code__.co_argcount]

    function(**{fixture: request.getfixturevalue(fixture) for fixture in wanted})


@pytest.mark.parametrize(("name", "case"), TEST_CASES)
def test_a_test_case_in_a_snippet_passes(
    name: str, case: str, project: dict[str, Any], fake_salesforce: FakeSalesforce, db: None
) -> None:
    tests = unittest.defaultTestLoader.loadTestsFromTestCase(run_page(name, project)[case])
    result = unittest.TestResult()

    tests.run(result)

    assert result.testsRun > 0
    assert not result.errors + result.failures
    assert fake_salesforce.requests == []
