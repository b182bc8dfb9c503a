"""The authorization endpoint without its pages: reads the request of a site, and takes the user's decision."""

from __future__ import annotations

from dataclasses import dataclass

from oauthlib.oauth2.rfc6749.errors import FatalClientError, OAuth2Error

from . import refusals
from .http import Request
from .oauth import SalesforceServer
from .records import ConnectedApp, User
from .refusals import Refused, Said
from .world import World


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnPage:
    """An error that stays on Salesforce's own page: the site gets no callback."""

    said: Said


@dataclass(frozen=True, kw_only=True, slots=True)
class Callback:
    """The browser goes back to the site. `code` is what went wrong, empty when the user consented."""

    location: str
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A right authorization request, waiting for a user. `request` is it whole, to be repeated on the decision."""

    request: Request
    app: ConnectedApp
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str
    prompts: frozenset[str]
    login_hint: str
    immediate: bool


class NoCallback(Exception):
    """The authorization ended on Salesforce's own page, so that the site never hears of it."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description


class Authorization:
    """What happens between a site's request and its callback."""

    def __init__(self, world: World, server: SalesforceServer) -> None:
        self.world = world
        self.server = server

    def read(self, request: Request) -> Asked | Callback | OwnPage:
        """Checks the request. A bad client or redirect URI is told to the user alone, the rest to the site."""
        query = request.query
        try:
            scopes, known = self.server.validate_authorization_request(request.url)
        except FatalClientError as error:
            return OwnPage(said=Said(error=str(error.error), description=error.description))
        except OAuth2Error as error:
            return Callback(location=error.in_uri(query["redirect_uri"]), error=str(error.error))
        except ValueError:
            return OwnPage(said=refusals.UNREADABLE)
        return Asked(
            request=request,
            app=self.world.apps[query["client_id"]],
            redirect_uri=known["redirect_uri"],
            scopes=tuple(scopes),
            state=query.get("state", ""),
            prompts=frozenset(query.get("prompt", "").split()),
            login_hint=query.get("login_hint", ""),
            immediate=query.get("immediate") == "true",
        )

    def has_consented(self, asked: Asked, user: User) -> bool:
        """Whether the user approved all of it before; Salesforce then asks no more, unless told to."""
        approvals = self.world.live_approvals(user=user, app=asked.app)
        return any(set(asked.scopes) <= set(approval.scopes) for approval in approvals)

    def allow(self, asked: Asked, user: User) -> Callback:
        """Sends the user back with a code, unless an admin of their org keeps the app out."""
        if bar := asked.app.bar_in(user.org):
            return self.refuse(asked, refusals.BARRED_AT_AUTHORIZE[bar])
        with self.world.lock:
            headers, _, _ = self.server.create_authorization_response(
                asked.request.url, scopes=list(asked.scopes), credentials={"user": user}
            )
        return Callback(location=headers["Location"])

    def deny(self, asked: Asked) -> Callback:
        return self.refuse(asked, refusals.DENIED)

    def refuse(self, asked: Asked, said: Said) -> Callback:
        error = Refused(said)
        error.state = asked.state
        return Callback(location=error.in_uri(asked.redirect_uri), error=said.error)
