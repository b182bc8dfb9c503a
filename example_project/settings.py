"""Settings from the environment. Without any, the site runs on this machine against FakeSalesforce."""

from __future__ import annotations

from pathlib import Path

import django
import environ

from django_sf_oauth.conf import from_env
from django_sf_oauth.tasks import beat_schedule

from .keys import kept_key

env = environ.Env()

BASE_DIR = Path(__file__).resolve().parent
# What the site writes: the database, Celery's messages, logs and keys.
VAR = Path(env.str("EXAMPLE_VAR", default=str(BASE_DIR / "var")))
VAR.mkdir(parents=True, exist_ok=True)

# Salesforce. Without a connected app of one's own, FakeSalesforce stands in.

USES_FAKE = not (env.str("SALESFORCE_CLIENT_ID", default="") or env.str("SALESFORCE_CLIENT_ID_FILE", default=""))
FAKE_URL = env.str("FAKE_SALESFORCE_URL", default="http://127.0.0.1:8001")
FAKE_HOST = FAKE_URL.partition("://")[2]
FAKE_PANEL = f"{FAKE_URL}/__panel__/" if USES_FAKE else ""
SALESFORCE_OAUTH = (
    {
        "CLIENT_ID": "3MVG9.example.client",
        "CLIENT_SECRET": "only-the-fake-knows-it",
        "LOGIN_URL": FAKE_URL,
        "LOGIN_HOSTS": [FAKE_HOST],
        "TRUSTED_HOSTS": [FAKE_HOST],
        "SESSION_LIFETIME": 600,  # seconds: short, so that the background refresher has something to do
        "FLEET_GUARD": {"window": 60},  # seconds: mails wait for it
        "SITE_URL": env.str("SALESFORCE_SITE_URL", default="http://localhost:8000"),
    }
    if USES_FAKE
    # Users are told by mail once a mail server is set up.
    else {"NOTIFY_USERS": False, **from_env(env)}
)
FERNET_KEYS = env.list("FERNET_KEYS", default=None) or [kept_key(VAR / "fernet.key")]

# Django

DEBUG = env.bool("DJANGO_DEBUG", default=USES_FAKE)
SECRET_KEY = env.str("DJANGO_SECRET_KEY", default="") or kept_key(VAR / "secret.key")
ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", default=["localhost"])
ROOT_URLCONF = "example_project.urls"
WSGI_APPLICATION = "example_project.wsgi.application"
INSTALLED_APPS = [
    "example_project.crm",
    "example_project.demo",
    "django_sf_oauth",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "example_project.csp.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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
                "example_project.crm.context.salesforce",
            ],
        },
    },
]
# A file, unless DATABASE_URL names a server, as postgres://….
FILE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": VAR / ("fake.sqlite3" if USES_FAKE else "site.sqlite3"),
    "OPTIONS": {
        "transaction_mode": "IMMEDIATE",
        # With a write-ahead log the refresher can write while a page reads.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    },
}
DATABASES = {"default": env.db_url("DATABASE_URL") if "DATABASE_URL" in env else FILE}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = VAR / "static"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"

# Plain http is for this machine alone.

SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG
SECURE_HSTS_SECONDS = 0 if DEBUG else 365 * 24 * 3600
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not DEBUG

# Mails of the demo are files.

MAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
MAIL_FILES = str(VAR / "mail")
if USES_FAKE and django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": MAIL_BACKEND, "OPTIONS": {"file_path": MAIL_FILES}}}
elif USES_FAKE:
    EMAIL_BACKEND, EMAIL_FILE_PATH = MAIL_BACKEND, MAIL_FILES

# Celery: messages are files, unless CELERY_BROKER_URL names a server, as redis://… or amqp://….

CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="filesystem://")
CELERY_BEAT_SCHEDULE = {**beat_schedule()}
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR / "beat-schedule")
CELERY_TASK_IGNORE_RESULT = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
MESSAGES = VAR / "messages"
if CELERY_BROKER_URL == "filesystem://":
    MESSAGES.mkdir(exist_ok=True)
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(MESSAGES),
        "data_folder_out": str(MESSAGES),
        "control_folder": str(MESSAGES / "control"),
    }
