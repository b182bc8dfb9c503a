"""django-allauth: its Salesforce provider with ``SOCIALACCOUNT_STORE_TOKENS``, the token read from `SocialToken`.

It has no way to refresh a token.
"""

from __future__ import annotations

from typing import Any

from .worker import join, set_up, work

site = join()
set_up(
    site,
    apps=("allauth", "allauth.account", "allauth.socialaccount", "allauth.socialaccount.providers.salesforce"),
    MIDDLEWARE=["allauth.account.middleware.AccountMiddleware"],
    SOCIALACCOUNT_STORE_TOKENS=True,
    SOCIALACCOUNT_PROVIDERS={
        "salesforce": {
            # For this provider, "key" is the base URL.
            "APPS": [{"client_id": site.client_id, "secret": site.client_secret, "key": site.origin}],
        }
    },
)

from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialAccount, SocialToken
from allauth.socialaccount.providers.salesforce.views import SalesforceOAuth2Adapter
from django.test import RequestFactory


def store(user: Any, tokens: dict[str, str]) -> int:
    token = SalesforceOAuth2Adapter(RequestFactory().get("/")).parse_token(tokens)
    token.account = SocialAccount.objects.create(user=user, provider="salesforce", uid=tokens["id"])
    token.save()
    return int(user.pk)


def call(key: int) -> int:
    token = SocialToken.objects.get(account__user=key, account__provider="salesforce")
    with get_adapter().get_requests_session() as session:
        answer = session.get(site.limits_url, headers={"Authorization": f"Bearer {token.token}"})
    return int(answer.status_code)


work(site, store=store, calls={"as it comes": call})
