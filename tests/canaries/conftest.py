from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.conf import LazySettings

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.testing import FakeSalesforce
from django_sf_oauth.testing.from_settings import fake_from_settings
from tests.factories import make_user
from tests.journey import connect

from .browsing import Browser
from .nets import Listener, Net, warned
from .plants import plant

__all__ = ["Site"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """A site with planted secrets, its Salesforce, a user's browser, and the net."""

    net: Net
    fake: FakeSalesforce
    user: Any
    browser: Browser

    def connected(self) -> SalesforceConnection:
        """The user's connection, made in the browser."""
        connect(self.browser, self.fake)
        return self.user.salesforce_connections.order_by("-pk").first()  # type: ignore[no-any-return]

    def attempt(self, act: Any) -> None:
        """Does it, and looks at the error if there is one."""
        try:
            act()
        except Exception as error:
            self.net.see(error)


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def check(site: Site, capfd: Any) -> Callable[..., list[str]]:
    """Looks through all sinks, and says where a secret is. `but` leaves some out."""

    def check(**options: Any) -> list[str]:
        site.net.sweep()
        for text in capfd.readouterr():
            site.net.throw("output", text)
        return site.net.hits(**options)

    return check


@pytest.fixture
def site(
    net: Net, monkeypatch: pytest.MonkeyPatch, settings: LazySettings, transactional_db: None, capfd: Any
) -> Iterator[Site]:
    settings.DEBUG = True
    settings.ADMINS = ["ops@example.com"]
    plant(monkeypatch, settings)
    with fake_from_settings().active() as fake, Listener(net).everywhere(), warned(net):
        user = make_user(email="ada@example.com", username=f"ada{os.urandom(4).hex()}")
        yield Site(net=net, fake=fake, user=user, browser=Browser(net, user))
