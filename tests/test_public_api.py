"""The names that examples, docs and projects rely on."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import django_sf_oauth

ROOT = Path(django_sf_oauth.__file__).parent
CONTRACT = {
    "django_sf_oauth": ["aget_connection", "get_connection"],
    "django_sf_oauth.conf": ["from_env"],
    "django_sf_oauth.decorators": ["salesforce_required"],
    "django_sf_oauth.exceptions": [
        "AccessBlocked",
        "ConfigurationError",
        "ConnectFailed",
        "MissingScopes",
        "NotConnected",
        "ReconnectRequired",
        "SalesforceOAuthError",
        "TemporarilyUnavailable",
        "TokenUnreadable",
    ],
    "django_sf_oauth.middleware": ["SalesforceMiddleware"],
    "django_sf_oauth.mixins": ["SalesforceRequiredMixin"],
    "django_sf_oauth.models": ["ConnectionEvent", "SalesforceConnection", "SealedQuerySet"],
    "django_sf_oauth.signals": [
        "app_misconfigured",
        "blocked",
        "connected",
        "disconnected",
        "reconnect_required",
        "reconnected",
        "recovered",
        "refresh_failed",
        "refreshed",
    ],
    "django_sf_oauth.tasks": [
        "beat_schedule",
        "prune_events",
        "refresh_connections",
        "refresh_due",
        "revoke_pending",
        "send_digest",
        "send_notices",
    ],
    "django_sf_oauth.testing": ["FakeSalesforce"],
}
CONNECTION_FIELDS = [
    "access_token",
    "app",
    "expires_at",
    "failure_count",
    "generation",
    "instance_url",
    "is_default",
    "is_sandbox",
    "issued_at",
    "last_refreshed_at",
    "last_used_at",
    "login_url",
    "next_refresh_at",
    "organization_id",
    "organization_name",
    "reason",
    "refresh_token",
    "salesforce_user_id",
    "scopes",
    "status",
    "user",
    "username",
    "uuid",
]
CONNECTION_METHODS = [
    "async_client",
    "auth",
    "client",
    "disconnect",
    "refresh",
    "simple_salesforce",
    "valid_access_token",
]


def modules() -> list[str]:
    paths = [path for path in ROOT.rglob("*.py") if "migrations" not in path.parts]
    names = [".".join(("django_sf_oauth", *path.relative_to(ROOT).with_suffix("").parts)) for path in paths]
    return sorted(name.removesuffix(".__init__") for name in names)


@pytest.mark.parametrize(("module", "names"), CONTRACT.items(), ids=CONTRACT)
def test_the_contract_can_be_imported(module: str, names: list[str]) -> None:
    imported = import_module(module)

    assert [name for name in names if not hasattr(imported, name)] == []
    assert set(names) <= set(imported.__all__)


@pytest.mark.parametrize("name", modules())
def test_each_all_is_sorted_and_names_what_is_there(name: str) -> None:
    module = import_module(name)
    exported = getattr(module, "__all__", [])

    assert list(exported) == sorted(exported, key=_isort)
    assert [one for one in exported if not hasattr(module, one)] == []


def _isort(name: str) -> tuple[int, str]:
    """As ruff's RUF022 sorts: constants, then classes, then the rest."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2), name


@pytest.mark.parametrize("name", [name for name in CONTRACT if name != "django_sf_oauth.testing"])
def test_each_public_name_is_in_all(name: str) -> None:
    module: Any = import_module(name)
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    defined = {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }

    unlisted = {one for one in defined if not one.startswith("_")} - set(module.__all__)

    assert unlisted <= INTERNAL.get(name, set())


INTERNAL = {"django_sf_oauth.conf": {"read_apps"}}


def test_a_connection_has_the_fields_and_methods_of_the_contract() -> None:
    from django_sf_oauth.models import SalesforceConnection

    fields = {field.name for field in SalesforceConnection._meta.get_fields()}

    assert set(CONNECTION_FIELDS) <= fields
    assert [name for name in CONNECTION_METHODS if not callable(getattr(SalesforceConnection, name))] == []
    assert SalesforceConnection.Status.values == ["active", "reconnect_required", "blocked", "disconnected"]


def test_the_urls_of_the_contract_are_there() -> None:
    from django.urls import reverse

    uuid = "6f0d1c1e-7a53-4b9e-9d65-0a3d4f2b8c11"

    plain = [reverse(f"sf_oauth:{name}") for name in ("connections", "connect", "callback")]
    of_one = [reverse(f"sf_oauth:{name}", args=[uuid]) for name in ("reconnect", "disconnect", "make_default")]

    assert len({*plain, *of_one}) == 6


def test_importing_the_package_needs_no_django_settings_and_loads_next_to_nothing() -> None:
    script = (
        "import sys, django_sf_oauth\n"
        "heavy = ('celery', 'django.db', 'httpx2', 'oauthlib', 'requests')\n"
        "print([name for name in heavy if name in sys.modules])"
    )

    said = subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )

    assert said.stdout == "[]\n"
