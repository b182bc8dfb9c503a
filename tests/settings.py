"""The smallest settings that boot; ``DATABASE_URL`` picks another database than SQLite."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import environ

env = environ.Env()

SECRET_KEY = "only-for-tests"
FERNET_KEYS = ["newest-key-of-the-tests-3f6b1c0d9a", "older-key-of-the-tests-8e2a7d5c41"]
DEBUG = False
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
USE_TZ = True
ROOT_URLCONF = "tests.urls"
STATIC_URL = "/static/"
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}  # Django 5.2 and 6.0 know none
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "uuid_user.User"
LOGIN_URL = "/login/"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_sf_oauth",
    "tests.uuid_user",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_sf_oauth.middleware.SalesforceMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

DATABASES = {"default": env.db_url("DATABASE_URL", default="sqlite:///:memory:")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, because the refresh uses a second connection, which an in-memory database would lock out.
    # One of its own per process: several of these suites may run side by side.
    path = str(Path(tempfile.gettempdir()) / f"django_sf_oauth-{os.getpid()}.sqlite3")
    DATABASES["default"].update(NAME=path, TEST={"NAME": path})
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }

SALESFORCE_OAUTH = {
    "CLIENT_ID": "3MVG9.test.client",
    "CLIENT_SECRET": "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF",
    "SCOPES": ["api", "refresh_token", "openid"],
    "SITE_URL": "https://crm.example.com",
    "APPS": {
        "other": {"CLIENT_ID": "3MVG9.other.client", "CLIENT_SECRET": "other-secret-of-the-tests"},
        "public": {"CLIENT_ID": "3MVG9.public.client", "CLIENT_SECRET": None},
    },
}
