"""Which endpoint a request is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .browsers import Browsers
from .consent import AUTHORIZE_PATH, ConsentPages
from .faults import Surface
from .http import Request, Response
from .pages import asset
from .panel import PANEL_PATH, Panel
from .people import People
from .rest import RestApi

if TYPE_CHECKING:
    from .fake import FakeSalesforce

Endpoint = Callable[[Request], Response]


class Routes:
    """The paths of the fake, which are Salesforce's."""

    def __init__(self, fake: FakeSalesforce) -> None:
        people, rest, oauth, browsers = People(fake.world), RestApi(fake.world), fake.endpoints, Browsers()
        consent = ConsentPages(fake.world, fake.authorization, browsers)
        self._exact: dict[str, tuple[Surface | None, Endpoint]] = {
            "/services/oauth2/token": ("token", oauth.token),
            "/services/oauth2/revoke": ("revoke", oauth.revoke),
            "/services/oauth2/introspect": ("introspect", oauth.introspect),
            "/services/oauth2/userinfo": ("userinfo", people.userinfo),
            AUTHORIZE_PATH: ("authorize", consent.authorize),
            "/__fake__/login": ("authorize", consent.log_in),
            "/__fake__/logout": ("authorize", consent.log_out),
            "/__fake__/consent": ("authorize", consent.decide),
            PANEL_PATH: (None, Panel(fake, browsers).handle),
            "/.well-known/openid-configuration": ("discovery", people.configuration),
        }
        self._below: dict[str, tuple[Surface | None, Endpoint]] = {
            "/services/data": ("api", rest.handle),
            "/id/": ("identity", people.identity),
        }

    def find(self, request: Request) -> tuple[Surface | None, Endpoint]:
        """The endpoint, and the surface under which trouble can be planned for it."""
        if found := self._exact.get(request.path):
            return found
        for prefix, endpoint in self._below.items():
            if request.path.startswith(prefix):
                return endpoint
        return None, asset
