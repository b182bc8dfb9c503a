"""The CPU that one token exchange costs, beside the bare request and beside requests-oauthlib as it comes.

Run with ``python -m benchmarks.exchange``. All send the same form to the same endpoint on loopback, on a
connection that is kept (but for those that are made for it), and read the tokens. Waiting does not count.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import requests
from requests_oauthlib import OAuth2Session

from benchmarks.orgs import serving
from benchmarks.turns import Comparison

PATH = "/services/oauth2/token"
REFRESH = "5Aep861" + "r" * 80
CLIENT: Mapping[str, Any] = {"client_id": "3MVG9.benchmark", "client_secret": "benchmark"}

BARE = "requests.Session, the form by hand"
OURS = "transport.refresh"


def ours(origin: str) -> Callable[[], object]:
    from django_sf_oauth import transport
    from django_sf_oauth.conf import AppSettings

    app = AppSettings(alias="default", trusted_hosts=(origin.partition("://")[2],), **CLIENT)

    def ask() -> None:
        assert transport.refresh(app, login_url=origin, refresh_token=REFRESH).access_token  # type: ignore[union-attr]

    return ask


def bare(origin: str) -> Callable[[], object]:
    session = requests.Session()
    form = {"grant_type": "refresh_token", "refresh_token": REFRESH, **CLIENT, "format": "json"}
    return lambda: session.post(origin + PATH, data=form, timeout=30).json()["access_token"]


def with_library(origin: str) -> Mapping[str, Callable[[], object]]:
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # it would not speak to this endpoint; ours does not ask
    kept = OAuth2Session()

    def ask(session: OAuth2Session) -> object:
        answer = session.refresh_token(origin + PATH, refresh_token=REFRESH, timeout=30, format="json", **CLIENT)
        return answer["access_token"]

    return {
        "OAuth2Session.refresh_token, kept": lambda: ask(kept),
        "OAuth2Session.refresh_token, a new one each time": lambda: ask(OAuth2Session()),
    }


def main() -> bool:
    """Whether the goal is met."""
    with serving(1) as [origin]:
        return Comparison(
            title="A token exchange over http: CPU",
            peer=BARE,
            calls={BARE: bare(origin), OURS: ours(origin), **with_library(origin)},
            goals={OURS: 1.00},
            clock=time.process_time,
        ).show()


if __name__ == "__main__":
    sys.exit(not main())
