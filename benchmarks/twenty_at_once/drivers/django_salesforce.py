"""django-salesforce: ``salesforce.auth.RefreshTokenAuth``, with the refresh token in the settings of a database.

Its database backend speaks nothing but https. Here its auth object is used as the backend uses it: as the `auth`
of a requests session, with ``reauthenticate()`` on a 401. It says itself that refresh tokens should not rotate.
"""

from __future__ import annotations

from .worker import REFUSED, join, set_up, work

APPLICATION = "benchmarks.twenty_at_once.drivers.application"

site = join()
set_up(site, apps=(APPLICATION,))

import requests
from salesforce.auth import SalesforceAuth, oauth_data

from .application.models import OAuth2Token, keep


def auth_of(row: OAuth2Token) -> SalesforceAuth:
    """As for a database alias, in a process that has used it before."""
    alias = f"salesforce-{row.pk}"
    settings = {
        "AUTH": "salesforce.auth.RefreshTokenAuth",
        "HOST": site.origin,
        "USER": row.user.get_username(),
        "CONSUMER_KEY": site.client_id,
        "CONSUMER_SECRET": site.client_secret,
        "REFRESH_TOKEN": row.refresh_token,
    }
    used_before = {"access_token": row.access_token, "refresh_token": row.refresh_token}
    oauth_data.setdefault(alias, {**used_before, "instance_url": site.origin})
    return SalesforceAuth.create_subclass_instance(alias, settings)


def call(key: int) -> int:
    row = OAuth2Token.objects.select_related("user").get(user=key)
    with requests.Session() as session:
        session.auth = auth = auth_of(row)
        answer = session.get(site.limits_url)
        if answer.status_code == REFUSED and auth.reauthenticate():
            answer = session.get(site.limits_url)
    return answer.status_code


work(site, store=keep, calls={"RefreshTokenAuth": call})
