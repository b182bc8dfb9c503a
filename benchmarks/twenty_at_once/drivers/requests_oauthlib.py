"""requests-oauthlib: `OAuth2Session` with ``auto_refresh_url`` and ``token_updater``, which it recommends.

As it comes: Salesforce tells no expiry, so the automatic refresh never begins.
With a hook: what an application adds, a response hook of requests that refreshes on 401 and sends again.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .worker import REFUSED, join, set_up, work

if TYPE_CHECKING:
    from requests import Response

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # the fake speaks plain http, on loopback
APPLICATION = "benchmarks.twenty_at_once.drivers.application"

site = join()
set_up(site, apps=(APPLICATION,))

from requests_oauthlib import OAuth2Session

from .application.models import OAuth2Token, keep

APP = {"client_id": site.client_id, "client_secret": site.client_secret}


def session_of(row: OAuth2Token) -> OAuth2Session:
    token = {name: value for name, value in row.to_token().items() if value is not None}
    return OAuth2Session(
        site.client_id,
        token=token,
        auto_refresh_url=site.token_url,
        auto_refresh_kwargs=APP,
        token_updater=row.take,
    )


def call(key: int) -> int:
    with session_of(OAuth2Token.objects.get(user=key)) as session:
        return session.get(site.limits_url).status_code


def call_with_hook(key: int) -> int:
    row = OAuth2Token.objects.get(user=key)

    def refresh(answer: Response, **kwargs: Any) -> Response:
        if answer.status_code != REFUSED:
            return answer
        session.hooks["response"].remove(refresh)  # once for each call
        row.take(session.refresh_token(site.token_url))
        return session.get(site.limits_url)

    with session_of(row) as session:
        session.hooks["response"].append(refresh)
        return session.get(site.limits_url).status_code


work(site, store=keep, calls={"as it comes": call, "hook that refreshes": call_with_hook})
