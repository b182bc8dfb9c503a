"""The way out: a user begins to connect Salesforce."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from django.views.decorators.debug import sensitive_variables

from django_sf_oauth.conf import AppSettings, get_app, get_apps
from django_sf_oauth.exceptions import ConfigurationError
from django_sf_oauth.models import ConnectAttempt, SalesforceConnection
from django_sf_oauth.models.attempt import digest
from django_sf_oauth.models.kill_switch import kill_switch
from django_sf_oauth.protocol.authorize import AuthorizationRequest, code_challenge
from django_sf_oauth.protocol.hosts import host_of, is_login_host, is_trusted_url
from django_sf_oauth.transport.opaque import opaque

from .failures import failed
from .rate_limits import attempts_kept, limit_connect, one_at_a_time

__all__ = ["app_named", "refuse_if_stopped", "start"]


@sensitive_variables()
def start(
    *,
    user: Any,
    browser: str,
    redirect_uri: str,
    app: str = "",
    login_host: str = "",
    login_hint: str = "",
    next_url: str = "",
    connection: SalesforceConnection | None = None,
) -> AuthorizationRequest:
    """Opens an attempt, beside any others that are open.

    Args:
        user: who is signed in here.
        browser: the mark of their browser session, which has to come back with the callback.
        redirect_uri: absolute URL of the callback, unless the app's settings name one.
        app: alias of a connected app; empty is the first.
        login_host: where to sign in at Salesforce; empty is where the connection, or else the app, says.
        login_hint: a Salesforce username; empty is that of the connection.
        next_url: where on this site to go afterwards; checked by the caller.
        connection: the one to connect again, which has to be the user's.

    Raises:
        ConnectFailed: ``unknown_app``, ``stopped``, ``bad_login_host`` or ``rate_limited``.
    """
    chosen = app_named(connection.app if connection else app)
    refuse_if_stopped(chosen, org=connection.organization_id if connection else "")
    login_url = _login_url(chosen, login_host, connection)
    with one_at_a_time(user):
        limit_connect(user, chosen)
        ConnectAttempt.objects.stale(attempts_kept()).filter(user=user).delete()
        opened = _open(
            browser_digest=digest(browser),
            user=user,
            app=chosen.alias,
            login_url=login_url,
            redirect_uri=chosen.redirect_uri or redirect_uri,
            next_url=next_url,
            connection=connection,
        )
    return AuthorizationRequest(
        login_url=login_url,
        client_id=chosen.client_id,
        redirect_uri=chosen.redirect_uri or redirect_uri,
        scopes=chosen.scopes,
        state=opened.state,
        code_challenge=opened.code_challenge,
        login_hint=login_hint or (connection.username if connection else ""),
        prompt=None if connection else _prompt(user, chosen, login_url),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Opened:
    state: str = field(repr=False)
    code_challenge: str


@opaque
def _open(**facts: Any) -> _Opened:
    """Makes the secrets of an attempt and stores it; the verifier is nowhere but in the database, sealed."""
    state = secrets.token_urlsafe(32)
    verifier = secrets.token_urlsafe(64)  # of letters, digits, - and _: Salesforce rejects a ~
    ConnectAttempt.objects.create(state_digest=digest(state), verifier=verifier, **facts)
    return _Opened(state=state, code_challenge=code_challenge(verifier))


def app_named(alias: str) -> AppSettings:
    """The connected app of an alias, or the first one.

    Raises:
        ConnectFailed: ``unknown_app``.
    """
    try:
        return get_app(alias or next(iter(get_apps()), ""))
    except ConfigurationError:
        raise failed("unknown_app") from None


def refuse_if_stopped(app: AppSettings, *, org: str = "") -> None:
    """Raises ConnectFailed (``stopped``) while an operator has stopped what the connection would be for."""
    if kill_switch.is_stopped(app=app.alias, org=org):
        raise failed("stopped")


def _prompt(user: Any, app: AppSettings, login_url: str) -> str | None:
    """Whoever connects another org must sign in: Salesforce's open session would return the same one at once."""
    others = SalesforceConnection.objects.for_user(user).connected()
    return "login" if others.filter(app=app.alias, login_url=login_url).exists() else None


def _login_url(app: AppSettings, login_host: str, connection: SalesforceConnection | None) -> str:
    """Refuses a host at which a sign-in, or later a token request, must not happen."""
    if login_host.strip():
        url = _chosen_url(app, login_host.strip())
    else:
        url = connection.login_url if connection else app.login_url
    if url is None or not is_trusted_url(url, app.trusted_hosts):
        raise failed("bad_login_host")
    return url


def _chosen_url(app: AppSettings, login_host: str) -> str | None:
    # People paste the whole address of their login page.
    host = host_of(login_host if "://" in login_host else f"https://{login_host}")
    if host == host_of(app.login_url):
        return app.login_url  # with its scheme and path
    return f"https://{host}" if is_login_host(host, app.login_hosts, app.trusted_hosts) else None
