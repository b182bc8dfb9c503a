"""System checks: each mistake in the settings has an id, and fails before the first login does."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from math import inf
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps as registry
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.db import connections, router
from django.db.models import Model
from django.urls import NoReverseMatch, reverse

from . import conf
from .conf import AppSettings
from .exceptions import ConfigurationError
from .fields import SealingField
from .models import SalesforceConnection, SealedQuerySet
from .protocol.hosts import host_of, is_login_host, is_trusted_url
from .protocol.tokens import missing_scopes
from .services.mails import operators
from .services.rate_limits import NAMES, parse_rate
from .services.schedule import BUDGET, GRACE

__all__ = [
    "check_database",
    "check_mails",
    "check_middleware",
    "check_models",
    "check_sessions",
    "check_settings",
    "check_tasks",
    "check_urls",
]

Found = Iterator[CheckMessage]

SMTP = "django.core.mail.backends.smtp.EmailBackend"
MIDDLEWARE = "django_sf_oauth.middleware.SalesforceMiddleware"
BATCH_TASK = "django_sf_oauth.refresh_connections"
LONGEST_BATCH = BUDGET + GRACE  # seconds
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


OAUTH_PATH = "/services/oauth2"
RATE_HINT = "Such as '20/m': a number, a slash, and one of s, m, h, d. None switches it off."
HINTS = {
    "no_client_id": "Is the environment variable set that it is read from?",
    "no_client_secret": "Set it, or None if the connected app is a public client.",
    "bad_setting": "The settings reference says what it takes: durations are seconds or a timedelta.",
}


def _error(number: int, message: str, hint: str | None = None) -> CheckMessage:
    return checks.Error(message, hint=hint, id=f"django_sf_oauth.E{number:03}")


def _warning(number: int, message: str, hint: str | None = None) -> CheckMessage:
    return checks.Warning(message, hint=hint, id=f"django_sf_oauth.W{number:03}")


@checks.register(checks.Tags.security)
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """E001 to E009, E014, E016, E017, E030, W004: ``SALESFORCE_OAUTH``."""
    mapping = getattr(settings, conf.SETTING, None)
    if not isinstance(mapping, Mapping) or not isinstance(mapping.get("APPS", {}), Mapping):
        hint = "Set CLIENT_ID and CLIENT_SECRET, or several apps under APPS."
        return [_error(1, f"{conf.SETTING} is not a dictionary of settings.", hint)]
    found = list(_unknown_keys(mapping))
    try:
        apps = conf.read_apps(mapping)
    except ConfigurationError as error:
        return [*found, _error(3, str(error), HINTS.get(error.code))]
    if not apps:
        found.append(_error(1, f"{conf.SETTING} names no connected app.", "Set CLIENT_ID and CLIENT_SECRET."))
    return [*found, *(message for app in apps.values() for check in APP_CHECKS for message in check(app))]


def _unknown_keys(mapping: Mapping[str, Any]) -> Found:
    own = {alias: app for alias, app in mapping.get("APPS", {}).items() if isinstance(app, Mapping)}
    of_apps = conf.KNOWN_KEYS - conf.SITE_KEYS
    for place, keys, known in [
        (conf.SETTING, mapping, conf.KNOWN_KEYS),
        *((f"{conf.SETTING}['APPS'][{alias!r}]", app, of_apps) for alias, app in own.items()),
    ]:
        for key in keys:
            if key not in known:
                yield _error(2, f"{place} has an unknown key {key!r}.", _did_you_mean(key, known))


def _did_you_mean(word: Any, known: Sequence[str] | frozenset[str]) -> str:
    close = get_close_matches(str(word).upper(), [name.upper() for name in known], n=1, cutoff=0.6)
    if close:
        return f"Did you mean {next(name for name in known if name.upper() == close[0])!r}?"
    return f"Known are: {', '.join(sorted(known))}."


def _login_url(app: AppSettings) -> Found:
    if not is_trusted_url(app.login_url, app.trusted_hosts):
        yield _error(
            4,
            f"LOGIN_URL of the app {app.alias!r} is not an https address of Salesforce.",
            "Such as https://login.salesforce.com. Another host has to be in TRUSTED_HOSTS; plain http is for "
            "loopback addresses only.",
        )
    elif OAUTH_PATH in app.login_url or "?" in app.login_url or "#" in app.login_url:
        message = f"LOGIN_URL of the app {app.alias!r} names an endpoint; the package knows the paths itself."
        yield _error(4, message, "Such as https://login.salesforce.com.")


def _scopes(app: AppSettings) -> Found:
    # Without SCOPES the app's own are granted, and these may well hold it.
    if app.scopes and "refresh_token" in missing_scopes(app.scopes, ["refresh_token"]):
        yield _error(
            5,
            f"SCOPES of the app {app.alias!r} lacks 'refresh_token': no connection would outlive its session.",
            "Salesforce calls the scope refresh_token or offline_access.",
        )


def _hosts(app: AppSettings) -> Found:
    for key, hosts in [("TRUSTED_HOSTS", app.trusted_hosts), ("LOGIN_HOSTS", app.login_hosts)]:
        for host in hosts:
            if not is_login_host(host, hosts):
                hint = "Write host or host:port, without a scheme and without a path."
                yield _error(6, f"{key} of the app {app.alias!r} holds {host!r}, which is no host.", hint)
    for host in app.login_hosts:
        if is_login_host(host, app.login_hosts) and not is_trusted_url(f"https://{host}", app.trusted_hosts):
            hint = "Add it to TRUSTED_HOSTS if tokens may be sent there."
            yield _error(7, f"LOGIN_HOSTS of the app {app.alias!r} holds {host!r}, which is not trusted.", hint)


def _rates(app: AppSettings) -> Found:
    for name, rate in app.rate_limits.items():
        if name not in NAMES:
            yield _error(8, f"RATE_LIMITS has an unknown key {name!r}.", _did_you_mean(name, NAMES))
        elif rate is not None and not _is_rate(rate):
            yield _error(8, f"RATE_LIMITS[{name!r}] of the app {app.alias!r} is no rate.", RATE_HINT)
    if app.refresh_rate is not None and not _is_rate(app.refresh_rate):
        yield _error(16, f"REFRESH_RATE of the app {app.alias!r} is no rate.", RATE_HINT)


def _revoke_rate(app: AppSettings) -> Found:
    if app.revoke_rate is not None and not _is_rate(app.revoke_rate, least=1):
        hint = "Such as '50/s': a number, a slash, and one of s, m, h, d. None switches it off."
        yield _error(40, f"REVOKE_RATE of the app {app.alias!r} is no rate.", hint)


def _is_rate(rate: Any, *, least: int = 0) -> bool:
    try:
        count, _ = parse_rate(rate)
    except (TypeError, ValueError):
        return False
    return count >= least


def _limits(app: AppSettings) -> Found:
    guard, breaker = app.fleet_guard, app.breaker
    if not (_are_positive(guard.window, guard.count) and (guard.share == 0 or _are_positive(guard.share, most=1))):
        hint = "window (seconds) and count are above 0, share is from 0 to 1."
        yield _error(14, f"FLEET_GUARD of the app {app.alias!r} holds a number that is out of range.", hint)
    if not _are_positive(breaker.count, breaker.window, breaker.pause):
        hint = "count, window and pause (seconds) are above 0."
        yield _error(14, f"BREAKER of the app {app.alias!r} holds a number that is out of range.", hint)


def _are_positive(*numbers: Any, most: float = float("inf")) -> bool:
    return all(isinstance(number, int | float) and 0 < number <= most for number in numbers)


def _redirect_uri(app: AppSettings) -> Found:
    if app.redirect_uri is not None and not _may_receive_codes(app.redirect_uri):
        hint = "It must equal a callback URL of the connected app exactly; http is for loopback addresses only."
        yield _error(9, f"REDIRECT_URI of the app {app.alias!r} is not an absolute https URL.", hint)


def _may_receive_codes(url: str) -> bool:
    host = host_of(url)
    return bool(host) and is_trusted_url(url, [host])  # which refuses http beyond loopback


def _most_refreshes(app: AppSettings) -> Found:
    if app.most_refreshes is not None and app.most_refreshes < 1:
        yield _error(30, f"MOST_REFRESHES of the app {app.alias!r} has to be above 0.", "None switches it off.")


def _site_url(app: AppSettings) -> Found:
    parts = urlsplit(app.site_url)
    is_origin = app.site_url == f"{parts.scheme}://{parts.netloc}"
    if app.site_url and not (is_origin and _may_receive_codes(app.site_url)):
        hint = "Such as https://crm.example.com, without a path; http is for loopback addresses only."
        yield _error(17, f"SITE_URL of the app {app.alias!r} is not the https address of a site.", hint)


def _secret(app: AppSettings) -> Found:
    if app.client_secret is not None and not all(secret.strip() for secret in app.client_secrets or ("",)):
        yield _warning(
            4,
            f"CLIENT_SECRET of the app {app.alias!r} is blank.",
            "Set it, or set None if the connected app is a public client.",
        )


APP_CHECKS: Sequence[Callable[[AppSettings], Found]] = (
    _login_url,
    _scopes,
    _hosts,
    _rates,
    _revoke_rate,
    _limits,
    _most_refreshes,
    _redirect_uri,
    _site_url,
    _secret,
)


@checks.register
def check_middleware(**kwargs: Any) -> list[CheckMessage]:
    """E013: the order of ``MIDDLEWARE``."""
    order = list(settings.MIDDLEWARE)
    if MIDDLEWARE not in order:
        return []
    if AUTHENTICATION in order[: order.index(MIDDLEWARE)]:
        return []
    hint = f"Place it after {AUTHENTICATION}."
    return [_error(13, "SalesforceMiddleware comes before the user of a request is known.", hint)]


@checks.register(checks.Tags.security)
def check_sessions(**kwargs: Any) -> list[CheckMessage]:
    """W005: cookies that do not come back from Salesforce with the browser."""
    if settings.SESSION_COOKIE_SAMESITE != "Strict":
        return []
    hint = "Set it to 'Lax', Django's default."
    message = "With SESSION_COOKIE_SAMESITE 'Strict' users come back from Salesforce signed out."
    return [_warning(5, message, hint)]


@checks.register(checks.Tags.urls)
def check_urls(**kwargs: Any) -> list[CheckMessage]:
    """W007: nobody can connect."""
    try:
        reverse("sf_oauth:connections")
    except NoReverseMatch:
        hint = 'Add path("salesforce/", include("django_sf_oauth.urls")) to your urlpatterns.'
        return [_warning(7, "The URLs of django_sf_oauth are not included.", hint)]
    return []


@checks.register(checks.Tags.models)
def check_models(**kwargs: Any) -> list[CheckMessage]:
    """W008: rows that an upsert makes unreadable."""
    hint = "Write objects = SealedQuerySet.as_manager(), or derive the queryset of its default manager from it."
    return [
        _warning(
            8, f"{model._meta.label} holds sealed values and accepts upserts, which make them unreadable.", hint
        )
        for model in registry.get_models()
        if _is_sealed(model) and not isinstance(model._default_manager.get_queryset(), SealedQuerySet)
    ]


def _is_sealed(model: type[Model]) -> bool:
    return any(isinstance(field, SealingField) for field in model._meta.concrete_fields)


@checks.register
def check_mails(**kwargs: Any) -> list[CheckMessage]:
    """W020 to W022: mails that nobody gets, and a mail server that holds up the workers."""
    try:
        apps = list(conf.get_apps().values())
    except ConfigurationError:
        return []  # E001 and E003 say so
    return [*_links(apps), *_recipients(apps), *_mail_timeout(apps)]


def _links(apps: Sequence[AppSettings]) -> Found:
    if silent := [app.alias for app in apps if app.notify_users and not app.site_url]:
        message = (
            f"SITE_URL is not set: no user of the connected app {', '.join(silent)}"
            " is told by mail when a connection needs them."
        )
        yield _warning(20, message, "Set it, as https://crm.example.com; or set NOTIFY_USERS to False.")


def _recipients(apps: Sequence[AppSettings]) -> Found:
    for app in apps:
        for key, recipients in [("DIGEST", app.digest), ("ALERTS", app.alerts)]:
            if recipients and not operators(recipients):
                hint = "Name addresses, or fill Django's setting MANAGERS or ADMINS that it names."
                yield _warning(21, f"{key} of the app {app.alias!r} reaches nobody.", hint)


def _mail_timeout(apps: Sequence[AppSettings]) -> Found:
    if any(app.digest or app.alerts or (app.notify_users and app.site_url) for app in apps) and _waits_for_ever():
        hint = 'Set EMAIL_TIMEOUT, or "timeout" in the OPTIONS of MAILERS["default"], to some seconds.'
        yield _warning(22, "A mail server that does not answer would hold up a worker for ever.", hint)


def _waits_for_ever() -> bool:
    if hasattr(settings, "MAILERS"):  # since Django 6.1
        mailer: Mapping[str, Any] = settings.MAILERS.get("default", {})
        return mailer.get("BACKEND", SMTP) == SMTP and not mailer.get("OPTIONS", {}).get("timeout")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Django 6.1 warns whoever reads them
        return bool(settings.EMAIL_BACKEND == SMTP and settings.EMAIL_TIMEOUT is None)


@checks.register
def check_tasks(**kwargs: Any) -> list[CheckMessage]:
    """E018: a time limit that kills a batch amid its exchanges."""
    annotations = getattr(settings, "CELERY_TASK_ANNOTATIONS", None)
    if not isinstance(annotations, Mapping):
        return []
    given = {**annotations.get("*", {}), **annotations.get(BATCH_TASK, {})}
    limits = [given[name] for name in ("time_limit", "soft_time_limit") if given.get(name)]
    if min(limits, default=inf) >= LONGEST_BATCH:
        return []
    return [
        _error(
            18,
            "CELERY_TASK_ANNOTATIONS limits django_sf_oauth.refresh_connections to less than a batch takes: "
            "tokens that Salesforce has just rotated would be lost.",
            f"The task has limits of its own. Leave them as they are, or at {LONGEST_BATCH:.0f} seconds at least.",
        )
    ]


@checks.register
def check_database(**kwargs: Any) -> list[CheckMessage]:
    """E015: a database that commits nothing by itself. W006: SQLite whose writers fail each other."""
    connection = connections[router.db_for_write(SalesforceConnection)]
    if not connection.settings_dict["AUTOCOMMIT"]:
        return [
            _error(
                15,
                "AUTOCOMMIT is off for the database of the connections: rotated tokens would never be committed.",
                "Leave AUTOCOMMIT out of DATABASES, or give the package a database of its own with a router.",
            )
        ]
    options = connection.settings_dict["OPTIONS"]
    commands = "".join(str(options.get("init_command", "")).lower().split())
    immediate = str(options.get("transaction_mode", "")).upper() == "IMMEDIATE"
    if connection.vendor != "sqlite" or (immediate and "journal_mode=wal" in commands):
        return []
    return [
        _warning(
            6,
            "SQLite without write-ahead logging, or without IMMEDIATE transactions: writers fail each other.",
            'Set "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL;", "transaction_mode": "IMMEDIATE"}.',
        )
    ]
