"""The browsers that visit the fake's pages: who is logged in there, and which forms are theirs."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field

from .http import Request
from .records import User

# A name of its own: cookies do not keep to a port, so those of the site under test come along.
COOKIE = "fake_salesforce_session"


@dataclass(kw_only=True, slots=True, eq=False)
class Browser:
    """One browser. `just_logged_in` answers ``prompt=login`` once."""

    key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    csrf_token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    user: User | None = None
    just_logged_in: bool = False

    @property
    def set_cookie(self) -> str:
        # Lax, as the site sends the browser here from another host.
        return f"{COOKIE}={self.key}; Path=/; HttpOnly; SameSite=Lax"

    def sent(self, request: Request) -> bool:
        """Whether the form was one of this browser's pages (against cross-site request forgery)."""
        return hmac.compare_digest(request.form.get("csrf_token", "").encode(), self.csrf_token.encode())


class Browsers:
    """The browsers by their cookie."""

    def __init__(self) -> None:
        self._known: dict[str, Browser] = {}

    def of(self, request: Request) -> Browser:
        """The browser of a request; a new one if it brings no cookie that we know."""
        sent = (cookie.strip().partition("=") for cookie in request.headers.get("cookie", "").split(";"))
        key = next((value for name, _, value in sent if name == COOKIE), "")
        return self._known.get(key) or self._meet()

    def log_in(self, browser: Browser, user: User) -> Browser:
        """Gives the browser a new cookie, so that one planted before the login is worth nothing."""
        self._known.pop(browser.key, None)
        met = self._meet()
        met.user, met.just_logged_in = user, True
        return met

    def _meet(self) -> Browser:
        browser = Browser()
        self._known[browser.key] = browser
        return browser
