"""Builds both archives, looks into them, and uses the wheel alone in a project of its own."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
NEEDED = (
    "py.typed",
    "migrations/0001_initial.py",
    "templates/sf_oauth/",
    "static/sf_oauth/sf_oauth.css",
    "testing/plugin.py",
    "testing/templates/",
    "management/commands/sf_oauth_refresh.py",
)
UNWANTED = ("tests/", "example_project/", "benchmarks/", ".tox/", "node_modules")
PROJECT = """
import sys
from types import ModuleType

import django
from django.conf import settings
from django.core.management import call_command
from django.urls import include, path

sys.modules["site_urls"] = urls = ModuleType("site_urls")

settings.configure(
    SECRET_KEY="packaging",
    FERNET_KEYS=["a-key-of-the-packaging-check-5c1f"],
    USE_TZ=True,
    ROOT_URLCONF="site_urls",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "django_sf_oauth",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3",
                           "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL",
                                       "transaction_mode": "IMMEDIATE"}}},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    SALESFORCE_OAUTH={"CLIENT_ID": "id", "CLIENT_SECRET": "secret", "NOTIFY_USERS": False},
)
django.setup()
urls.urlpatterns = [path("salesforce/", include("django_sf_oauth.urls"))]
call_command("check", fail_level="WARNING")
call_command("migrate", verbosity=0)
from django.template.loader import get_template
get_template("sf_oauth/connections.html")
from django_sf_oauth.testing import FakeSalesforce
FakeSalesforce()
print("The wheel works alone.")
"""


def run(*command: str, cwd: Path = ROOT) -> None:
    subprocess.run(command, cwd=cwd, check=True)  # noqa: S603  # our own commands


def names_in(archive: Path) -> list[str]:
    if archive.suffix == ".whl":
        return zipfile.ZipFile(archive).namelist()
    with tarfile.open(archive) as tar:
        return [name.partition("/")[2] for name in tar.getnames()]


def look_into(archive: Path) -> None:
    names = names_in(archive)
    missing = [need for need in NEEDED if not any(name.startswith(f"django_sf_oauth/{need}") for name in names)]
    unwanted = [name for name in names if name.startswith(UNWANTED)]
    if missing or unwanted:
        sys.exit(f"{archive.name}: missing {missing}, unwanted {unwanted[:5]}")
    print(f"{archive.name}: {len(names)} files, nothing missing, nothing unwanted.")


def use_alone(wheel: Path, folder: Path) -> None:
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / "bin" / "python")
    run(python, "-m", "pip", "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"), str(wheel))
    run(python, "-W", "error", "-c", PROJECT, cwd=folder)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "build", "--outdir", str(folder / "dist"))
        archives = sorted((folder / "dist").iterdir())
        run(sys.executable, "-m", "twine", "check", "--strict", *map(str, archives))
        for archive in archives:
            look_into(archive)
        use_alone(next(archive for archive in archives if archive.suffix == ".whl"), folder)


main()
