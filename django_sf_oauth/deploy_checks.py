"""What must not go live: checks that ``manage.py check --deploy`` alone runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.utils.encoding import force_str

from . import conf
from .checks import Found, _error, _warning
from .conf import AppSettings
from .exceptions import ConfigurationError
from .key_checks import HOW_TO_MAKE_ONE
from .protocol.hosts import host_of, is_loopback_host

__all__ = ["check_deployment"]

SIGNED_COOKIES = "django.contrib.sessions.backends.signed_cookies"
PUBLISHED = "a long random text that nobody else knows"  # the key in the documentation
# They write requests and answers, or the addresses of callbacks, at DEBUG.
TALKATIVE = ("oauthlib", "requests_oauthlib", "requests_oauthlib.oauth2_session")


@checks.register(checks.Tags.security, deploy=True)
def check_deployment(**kwargs: Any) -> list[CheckMessage]:
    """E050 to E053, W060 to W063: what is right on a developer's machine alone."""
    try:
        apps = list(conf.get_apps().values())
    except ConfigurationError:
        apps = []  # E001 and E003 say so
    return [*_callback(apps), *_fake(apps), *_keys(), *_logging(), *_sessions()]


def _callback(apps: Sequence[AppSettings]) -> Found:
    if in_clear := [app.alias for app in apps if (app.redirect_uri or "").lower().startswith("http://")]:
        message = f"REDIRECT_URI of the app {', '.join(in_clear)} is plain http."
        yield _error(50, message, "Salesforce sends authorization codes there: use https.")
    if not any(app.redirect_uri is None for app in apps):
        return
    if not (settings.SECURE_SSL_REDIRECT or settings.SECURE_PROXY_SSL_HEADER):
        hint = "Set REDIRECT_URI; or SECURE_PROXY_SSL_HEADER behind a proxy, or SECURE_SSL_REDIRECT without one."
        yield _warning(60, "The callback URL is taken from the request, and may begin with http://.", hint)
    if "*" in settings.ALLOWED_HOSTS or settings.USE_X_FORWARDED_HOST:
        message = "The callback URL is taken from the request, whose host anybody can write."
        hint = "Set REDIRECT_URI; or name your hosts in ALLOWED_HOSTS, with USE_X_FORWARDED_HOST off."
        yield _warning(61, message, hint)


def _fake(apps: Sequence[AppSettings]) -> Found:
    for app in apps:
        if local := [host for host in _hosts_of(app) if is_loopback_host(host)]:
            message = f"The app {app.alias!r} trusts this machine ({', '.join(local)}), as for FakeSalesforce."
            yield _error(51, message, "Remove it from LOGIN_URL, LOGIN_HOSTS and TRUSTED_HOSTS.")
    if _is_plugged():
        message = "Another adapter than the package's own, such as FakeSalesforce's, answers all requests."
        yield _error(52, message, "Leave use_adapter() and FakeSalesforce.active() to tests.")


def _hosts_of(app: AppSettings) -> list[str]:
    return list(dict.fromkeys([host_of(app.login_url), *app.login_hosts, *app.trusted_hosts]))


def _is_plugged() -> bool:
    from .adapters import PooledAdapter, shared_adapter  # not at start-up: they bring requests

    return not isinstance(shared_adapter(), PooledAdapter)


def _keys() -> Found:
    keys = getattr(settings, "FERNET_KEYS", None) or ()
    if any(force_str(key, errors="replace").replace("-", " ") == PUBLISHED for key in keys):
        message = "A key in FERNET_KEYS is that of the documentation, which everybody knows."
        yield _error(53, message, HOW_TO_MAKE_ONE)


def _logging() -> Found:
    config = settings.LOGGING or {}
    if named := [name for name in _set_to_debug(config) if name in TALKATIVE]:
        message = f"LOGGING sets {', '.join(named)} to DEBUG, at which they write whole requests."
        yield _warning(62, message, "Set INFO. The package hides what they fill in, as far as it knows them.")


def _set_to_debug(config: Mapping[str, Any]) -> Iterator[str]:
    for name, logger in config.get("loggers", {}).items():
        if str(logger.get("level", "")).upper() in {"DEBUG", "NOTSET", "10"}:
            yield name


def _sessions() -> Found:
    if settings.SESSION_ENGINE == SIGNED_COOKIES:
        message = "With sessions in signed cookies, a copied cookie works on after its user has signed out."
        yield _warning(63, message, "Keep sessions on the server: in the database or the cache.")
