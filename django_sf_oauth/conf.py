"""The settings, typed and read when asked, so that an override in a test arrives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from .exceptions import ConfigurationError

__all__ = [
    "LONGEST_EXCHANGE",
    "AppSettings",
    "Breaker",
    "FleetGuard",
    "Timeouts",
    "from_env",
    "get_app",
    "get_apps",
]

DEFAULT_ALIAS = "default"
SETTING = "SALESFORCE_OAUTH"
KEY_PROVIDER = "KEY_PROVIDER"
LONGEST_EXCHANGE = 60.0  # seconds; workers that end, and batches whose time is over, wait for one

SecretSource = str | Sequence[str] | Callable[[], str | Sequence[str]] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Seconds. `lease` outlives `total`, so that nobody asks Salesforce twice for one refresh token."""

    connect: float = 5.0
    total: float = 60.0
    wait: float = 8.0
    lease: float = 90.0

    def __post_init__(self) -> None:
        if not 0 < self.total <= LONGEST_EXCHANGE:
            raise ConfigurationError(
                f"{SETTING}: in TIMEOUTS, total has to be between 0 and {LONGEST_EXCHANGE:.0f} seconds.",
                code="bad_setting",
            )
        if self.lease <= self.total:
            raise ConfigurationError(
                f"{SETTING}: in TIMEOUTS, lease has to be longer than total.", code="bad_setting"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetGuard:
    """When `count` and `share` of an app's connections die within `window` seconds, it is the app."""

    window: int = 600
    count: int = 20
    share: float = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Breaker:
    """When a token host has failed `count` times in a row within `window` seconds, nobody asks it for `pause`."""

    count: int = 10
    window: float = 60.0
    pause: float = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class AppSettings:
    """One connected app (or external client app) of Salesforce."""

    alias: str
    client_id: str
    client_secret: SecretSource = field(default=None, repr=False)
    login_url: str = "https://login.salesforce.com"
    scopes: tuple[str, ...] = ("api", "refresh_token", "openid")
    login_hosts: tuple[str, ...] = ("login.salesforce.com", "test.salesforce.com")
    trusted_hosts: tuple[str, ...] = ()
    redirect_uri: str | None = None
    api_version: str = "66.0"
    session_lifetime: timedelta = timedelta(hours=2)
    introspect: bool = True
    heartbeat: timedelta = timedelta(days=7)
    expires_if_unused: timedelta | None = None
    dormant_after: timedelta | None = None
    timeouts: Timeouts = Timeouts()
    refresh_rate: str | None = None
    rate_limits: Mapping[str, str | None] = field(default_factory=lambda: {"connect": "20/m", "callback": "30/m"})
    revoke_rate: str | None = "50/s"
    fleet_guard: FleetGuard = FleetGuard()
    breaker: Breaker = Breaker()
    notify_users: bool = True
    site_url: str = ""
    digest: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    most_refreshes: int | None = 20

    @property
    def client_secrets(self) -> tuple[str, ...]:
        """The consumer secrets, newest first; empty for a public client. A callable is asked each time."""
        source = self._asked(self.client_secret) if callable(self.client_secret) else self.client_secret
        if source is None:
            return ()
        return (source,) if isinstance(source, str) else tuple(source)

    def _asked(self, source: Callable[[], str | Sequence[str]]) -> str | Sequence[str] | None:
        try:
            return source()
        except Exception:
            # The cause is left out: it may hold what a vault answered.
            raise ConfigurationError(
                f"{SETTING}: CLIENT_SECRET of the app {self.alias!r} could not be asked for.",
                code="secret_unavailable",
            ) from None

    def within(self, seconds: float) -> AppSettings:
        """The same app, but an exchange takes at most that long: for a question that can be asked again."""
        return replace(self, timeouts=replace(self.timeouts, total=min(seconds, self.timeouts.total)))


def get_app(alias: str = DEFAULT_ALIAS) -> AppSettings:
    """The settings of one connected app.

    Raises:
        ConfigurationError: no app of that alias, or a setting that cannot be read.
    """
    try:
        return get_apps()[alias]
    except KeyError:
        raise ConfigurationError(f"{SETTING} has no connected app {alias!r}.", code="unknown_app") from None


@cache
def get_apps() -> Mapping[str, AppSettings]:
    """All connected apps by alias, the default one first."""
    return read_apps(getattr(settings, SETTING, {}))


def read_apps(mapping: Mapping[str, Any]) -> dict[str, AppSettings]:
    """Reads the value of ``SALESFORCE_OAUTH``. An app of ``APPS`` inherits all but its credentials."""
    shared = {key: value for key, value in _mapping(SETTING, mapping).items() if key not in SITE_KEYS}
    inherited = {key: value for key, value in shared.items() if key not in CREDENTIALS}
    apps = {DEFAULT_ALIAS: _read_app(DEFAULT_ALIAS, shared)} if "CLIENT_ID" in shared else {}
    for alias, own in _mapping("APPS", mapping.get("APPS", {})).items():
        apps[alias] = _read_app(alias, {**inherited, **_mapping(alias, own)})
    return apps


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{SETTING}: {name} has to be a mapping.", code="bad_setting")
    return value


CREDENTIALS = frozenset({"CLIENT_ID", "CLIENT_SECRET"})
SITE_KEYS = frozenset({"APPS", KEY_PROVIDER})  # of no single app
KNOWN_KEYS = frozenset(f.name.upper() for f in fields(AppSettings) if f.name != "alias") | SITE_KEYS


def _read_app(alias: str, mapping: Mapping[str, Any]) -> AppSettings:
    known = {key.lower(): value for key, value in mapping.items() if key in KNOWN_KEYS - SITE_KEYS}
    for key, read in READERS.items():
        if key in known:
            known[key] = _reading(alias, key, read, known[key])
    if not known.get("client_id"):
        raise ConfigurationError(f"{SETTING}: the app {alias!r} has no CLIENT_ID.", code="no_client_id")
    if "client_secret" not in known:
        # Forgotten, it would make a public client, which Salesforce refuses after the user has consented.
        raise ConfigurationError(
            f"{SETTING}: the app {alias!r} has no CLIENT_SECRET; None is for a public client.",
            code="no_client_secret",
        )
    return AppSettings(alias=alias, **known)


def _reading(alias: str, key: str, read: Callable[[Any], Any], value: Any) -> Any:
    try:
        return read(value)
    except (TypeError, ValueError, AttributeError):
        # The value is not named: a secret put under the wrong key would be printed.
        raise ConfigurationError(
            f"{SETTING}: {key.upper()} of the app {alias!r} cannot be read.", code="bad_setting"
        ) from None


def _words(value: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(_words_or_commas(value)) if isinstance(value, str) else tuple(str(item) for item in value)


def _duration(value: timedelta | float) -> timedelta:
    duration = value if isinstance(value, timedelta) else timedelta(seconds=value)
    if duration <= timedelta(0):
        raise ValueError  # an empty variable, say, must neither end every connection nor refresh it all the time
    return duration


def _boolean(value: bool | str) -> bool:
    word = str(value).lower()  # "False" from an environment would otherwise be true
    if word not in {*YES, *NO}:
        raise ValueError("Neither yes nor no.")
    return word in YES


YES = frozenset({"true", "yes", "on", "1"})
NO = frozenset({"false", "no", "off", "0"})


def _duration_or_none(value: timedelta | float | None) -> timedelta | None:
    return None if value is None else _duration(value)


def _timeouts(value: Mapping[str, float]) -> Timeouts:
    return Timeouts(**{name: float(seconds) for name, seconds in value.items()})


READERS: Mapping[str, Callable[[Any], Any]] = {
    "login_url": lambda value: value.rstrip("/"),
    "scopes": _words,
    "login_hosts": _words,
    "trusted_hosts": _words,
    "api_version": lambda value: str(value).removeprefix("v"),
    "session_lifetime": _duration,
    "introspect": _boolean,
    "heartbeat": _duration,
    "expires_if_unused": _duration_or_none,
    "dormant_after": _duration_or_none,
    "timeouts": _timeouts,
    "rate_limits": dict,
    "fleet_guard": lambda value: FleetGuard(**value),
    "breaker": lambda value: Breaker(**value),
    "notify_users": _boolean,
    "site_url": lambda value: value.rstrip("/"),
    "digest": _words,
    "alerts": _words,
    "most_refreshes": lambda value: None if value is None else int(value),
}


def _forget(*, setting: str, **kwargs: object) -> None:
    if setting == SETTING:
        get_apps.cache_clear()


setting_changed.connect(_forget, dispatch_uid="django_sf_oauth.conf")


def from_env(env: Any) -> dict[str, Any]:
    """Reads ``SALESFORCE_CLIENT_ID`` and its siblings from the environment.

    Args:
        env: an ``environ.Env`` of django-environ. ``NAME_FILE`` names a file that holds ``NAME``, as mounted
            secrets do.

    Returns:
        The value for ``SALESFORCE_OAUTH``. Several secrets, newest first, are separated by commas.

    Raises:
        ConfigurationError: the id is absent; or the secret is, without ``SALESFORCE_PUBLIC_CLIENT``.
    """
    client_id = _from_env_or_file(env, "SALESFORCE_CLIENT_ID")
    if not client_id:
        raise ConfigurationError("SALESFORCE_CLIENT_ID is not set.", code="no_client_id")
    found: dict[str, Any] = {"CLIENT_ID": client_id, "CLIENT_SECRET": _secrets_from_env(env)}
    for key in ENVIRONMENT_KEYS:
        if value := _from_env_or_file(env, f"SALESFORCE_{key}"):
            found[key] = _from_text(key, value)
    return found


def _from_text(key: str, text: str) -> Any:
    try:
        return ENVIRONMENT_KEYS[key](text)
    except ValueError:
        raise ConfigurationError(f"SALESFORCE_{key} cannot be read.", code="bad_setting") from None


def _secrets_from_env(env: Any) -> list[str] | None:
    secrets = _comma_separated(_from_env_or_file(env, "SALESFORCE_CLIENT_SECRET"))
    if secrets:
        return secrets
    if env.bool("SALESFORCE_PUBLIC_CLIENT", default=False):
        return None
    raise ConfigurationError(
        "SALESFORCE_CLIENT_SECRET is not set; an app without a secret needs SALESFORCE_PUBLIC_CLIENT=true.",
        code="no_client_secret",
    )


def _from_env_or_file(env: Any, name: str) -> str:
    path = env.str(f"{name}_FILE", default="")
    if not path:
        return str(env.str(name, default="")).strip()
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        # The cause is left out: a decoding error holds the bytes of the secret.
        raise ConfigurationError(f"{name}_FILE names a file that cannot be read.", code="bad_setting") from None


def _comma_separated(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _words_or_commas(text: str) -> list[str]:
    return text.replace(",", " ").split()


ENVIRONMENT_KEYS: Mapping[str, Callable[[str], Any]] = {
    "LOGIN_URL": str,
    "SCOPES": _words_or_commas,
    "LOGIN_HOSTS": _words_or_commas,
    "TRUSTED_HOSTS": _words_or_commas,
    "REDIRECT_URI": str,
    "API_VERSION": str,
    "REVOKE_RATE": str,
    "SESSION_LIFETIME": float,
    "HEARTBEAT": float,
    "NOTIFY_USERS": _boolean,
    "SITE_URL": str,
    "DIGEST": _words_or_commas,
    "ALERTS": _words_or_commas,
    "EXPIRES_IF_UNUSED": float,
    "DORMANT_AFTER": float,
    "REFRESH_RATE": str,
}
