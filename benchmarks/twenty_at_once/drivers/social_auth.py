"""social-auth-app-django with its Salesforce backend.

As it comes: ``social.get_access_token(load_strategy())``, as "Use cases" says.
With a refresh on 401: what an application adds, since Salesforce tells no expiry: ``social.refresh_token()``.
"""

from __future__ import annotations

from typing import Any

from .worker import REFUSED, join, set_up, work

site = join()
set_up(
    site,
    apps=("social_django",),
    ROOT_URLCONF="social_django.urls",  # its settings of URLs are looked up there first
    AUTHENTICATION_BACKENDS=["social_core.backends.salesforce.SalesforceOAuth2"],
    SOCIAL_AUTH_SALESFORCE_OAUTH2_KEY=site.client_id,
    SOCIAL_AUTH_SALESFORCE_OAUTH2_SECRET=site.client_secret,
    SOCIAL_AUTH_SALESFORCE_OAUTH2_ACCESS_TOKEN_URL=site.token_url,
)

import requests
from social_django.models import UserSocialAuth
from social_django.utils import load_strategy

PROVIDER = "salesforce-oauth2"


def store(user: Any, tokens: dict[str, str]) -> int:
    social = UserSocialAuth.create_social_auth(user, tokens["id"], PROVIDER)
    backend = social.get_backend_instance(load_strategy())
    social.set_extra_data(backend.extra_data(user, tokens["id"], tokens, {}, {}))
    social.save()
    return int(user.pk)


def find(user: int) -> Any:
    return UserSocialAuth.objects.select_related("user").get(user=user, provider=PROVIDER)


def ask(access_token: str) -> int:
    headers = {"Authorization": f"Bearer {access_token}"}
    return requests.get(site.limits_url, headers=headers, timeout=30).status_code


def call(key: int) -> int:
    return ask(find(key).get_access_token(load_strategy()))


def call_with_refresh(key: int) -> int:
    social = find(key)
    status = ask(social.get_access_token(load_strategy()))
    if status == REFUSED:
        social.refresh_token(load_strategy())
        status = ask(social.access_token)
    return status


work(site, store=store, calls={"as it comes": call, "refresh on 401": call_with_refresh})
