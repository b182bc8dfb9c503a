"""Authlib's Django client, as documented: a token table, ``token=`` on each call, the ``token_update`` signal.

As it comes: Salesforce tells no expiry, so nothing is ever due.
With an invented expiry: a compliance fix, its documented place for what a provider leaves out, adds `expires_in`.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from .worker import join, set_up, work

if TYPE_CHECKING:
    from requests import Response

APPLICATION = "benchmarks.twenty_at_once.drivers.application"

site = join()
set_up(site, apps=(APPLICATION,))

from authlib.integrations.django_client import OAuth, token_update

from .application.models import OAuth2Token, keep

INVENTED = 7200  # seconds
INVENTS = site.way == "invented expiry"


def invent_expiry(session: Any) -> None:
    def fix(answer: Response) -> Response:
        if answer.ok:
            answer._content = json.dumps({**answer.json(), "expires_in": INVENTED}).encode()
        return answer

    session.register_compliance_hook("refresh_token_response", fix)


oauth = OAuth()
oauth.register(
    "salesforce",
    client_id=site.client_id,
    client_secret=site.client_secret,
    access_token_url=site.token_url,
    api_base_url=site.origin,
    compliance_fix=invent_expiry if INVENTS else None,
)


def on_token_update(
    sender: object, name: str, token: dict[str, Any], refresh_token: str | None = None, **kwargs: Any
) -> None:
    OAuth2Token.objects.get(name=name, refresh_token=refresh_token).take(token)


token_update.connect(on_token_update)


def age(key: int) -> None:
    if INVENTS:
        OAuth2Token.objects.filter(user=key).update(expires_at=int(time.time()) - 1)


def call(key: int) -> int:
    token = OAuth2Token.objects.get(user=key, name="salesforce")
    return int(oauth.salesforce.get(site.limits_url, token=token.to_token()).status_code)


work(site, store=keep, age=age, calls={"as it comes": call, "invented expiry": call})
