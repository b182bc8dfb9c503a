"""The pages between a site and its callback: login, consent, and the errors that stay here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from . import refusals
from .authorize import Asked, Authorization, Callback, OwnPage
from .browsers import Browser, Browsers
from .http import Request, Response, redirect
from .pages import expired_form, page
from .records import User
from .refusals import Said
from .world import World

if TYPE_CHECKING:
    from collections.abc import Sequence

AUTHORIZE_PATH = "/services/oauth2/authorize"
SCOPES_IN_WORDS = {
    "api": "Manage user data via APIs",
    "full": "Full access",
    "id": "Access the identity URL service",
    "profile": "Access the identity URL service",
    "email": "Access the identity URL service",
    "openid": "Access unique user identifiers",
    "refresh_token": "Perform requests at any time",
    "offline_access": "Perform requests at any time",
    "web": "Manage user data via web browsers",
}
EXPLANATIONS = {
    refusals.UNKNOWN_CLIENT.error: "No connected app has this consumer key. Check the site's CLIENT_ID.",
    refusals.BAD_REDIRECT.error: (
        "The callback URL that the site sent is not, letter for letter, one that the connected app lists."
    ),
    refusals.NO_REDIRECT.error: "The site sent no callback URL.",
}
WRONG_LOGIN = "Please check your username and password. If you still can't log in, contact your administrator."


class ConsentPages:
    """What a person sees of the web server flow."""

    def __init__(self, world: World, authorization: Authorization, browsers: Browsers) -> None:
        self.world = world
        self.authorization = authorization
        self.browsers = browsers

    def authorize(self, request: Request) -> Response:
        """Where the site sends the browser."""
        asked = self.authorization.read(request)
        if isinstance(asked, OwnPage):
            return _error_page(asked.said)
        if isinstance(asked, Callback):
            return _go(asked)
        return self._next_step(asked, self.browsers.of(request))

    def _next_step(self, asked: Asked, browser: Browser) -> Response:
        user = None if self._must_log_in(asked, browser) else browser.user
        consented = user is not None and self.authorization.has_consented(asked, user)
        if user and consented and "consent" not in asked.prompts:
            return _go(self.authorization.allow(asked, user))
        if asked.immediate:
            return _go(self.authorization.refuse(asked, refusals.NEEDS_PERSON))
        return self._consent_page(asked, browser, user) if user else self._login_page(asked, browser)

    def _must_log_in(self, asked: Asked, browser: Browser) -> bool:
        fresh, browser.just_logged_in = browser.just_logged_in, False
        return bool({"login", "select_account"} & asked.prompts) and not fresh

    def log_in(self, request: Request) -> Response:
        """The login form."""
        browser = self.browsers.of(request)
        asked = self._asked_in_form(request)
        if not browser.sent(request) or asked is None:
            return expired_form()
        user = self._authenticate(request)
        if user is None:
            return self._login_page(asked, browser, tried=request.form.get("username", ""))
        met = self.browsers.log_in(browser, user)
        return redirect(_again(asked), status=303, set_cookie=met.set_cookie)

    def _authenticate(self, request: Request) -> User | None:
        user = self.world.users.get(request.form.get("username", "").strip().lower())
        if user is None or user.password != request.form.get("password", ""):
            return None
        welcome = user.active and user.org.active and self.world.serves(request.host, user.org)
        return user if welcome else None

    def log_out(self, request: Request) -> Response:
        """ "Not you?" on the consent page."""
        browser = self.browsers.of(request)
        asked = self._asked_in_form(request)
        if not browser.sent(request) or asked is None:
            return expired_form()
        browser.user = None
        return redirect(_again(asked), status=303)

    def decide(self, request: Request) -> Response:
        """The consent form."""
        browser = self.browsers.of(request)
        asked = self._asked_in_form(request)
        if not browser.sent(request) or asked is None or browser.user is None:
            return expired_form()
        if request.form.get("decision") == "allow":
            return _go(self.authorization.allow(asked, browser.user))
        return _go(self.authorization.deny(asked))

    def _asked_in_form(self, request: Request) -> Asked | None:
        """The forms carry the site's request along; it is checked again, as it came back from the browser."""
        base = self.world.base_url(request.host)
        url = f"{base}{AUTHORIZE_PATH}?{request.form.get('request', '')}"
        asked = self.authorization.read(replace(request, method="GET", url=url, body=""))
        return asked if isinstance(asked, Asked) else None

    def _login_page(self, asked: Asked, browser: Browser, *, tried: str | None = None) -> Response:
        context = {
            "app": asked.app,
            "request": asked.request.query_string,
            "csrf_token": browser.csrf_token,
            "username": asked.login_hint if tried is None else tried,
            "problem": "" if tried is None else WRONG_LOGIN,
            "users": self._users_at(asked.request.host),
        }
        return page("login.html", context, set_cookie=browser.set_cookie)

    def _users_at(self, host: str) -> Sequence[User]:
        return [user for user in self.world.users.values() if self.world.serves(host, user.org)]

    def _consent_page(self, asked: Asked, browser: Browser, user: User) -> Response:
        context = {
            "app": asked.app,
            "request": asked.request.query_string,
            "csrf_token": browser.csrf_token,
            "user": user,
            "permissions": list(dict.fromkeys(SCOPES_IN_WORDS.get(s, s) for s in asked.scopes)),
            "redirect_uri": asked.redirect_uri,
        }
        return page("consent.html", context, set_cookie=browser.set_cookie)


def _again(asked: Asked) -> str:
    return f"{AUTHORIZE_PATH}?{asked.request.query_string}"


def _go(callback: Callback) -> Response:
    return replace(redirect(callback.location), error=callback.error)


def _error_page(said: Said) -> Response:
    context = {"said": said, "explanation": EXPLANATIONS.get(said.error, "")}
    return replace(page("error.html", context, status=400), error=said.error, detail=said.description)
