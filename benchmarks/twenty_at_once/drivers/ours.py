"""django-sf-oauth: ``connection.client()``, as "Call the API" says, with the default timeouts."""

from __future__ import annotations

from typing import Any

from .worker import join, set_up, work

site = join()
set_up(
    site,
    apps=("django_sf_oauth",),
    FERNET_KEYS=["only-for-this-benchmark"],
    SALESFORCE_OAUTH={
        "CLIENT_ID": site.client_id,
        "CLIENT_SECRET": site.client_secret,
        "TRUSTED_HOSTS": [site.origin.partition("://")[2]],
    },
)

from django_sf_oauth.models import SalesforceConnection


def store(user: Any, tokens: dict[str, str]) -> int:
    organization, salesforce_user = tokens["id"].split("/")[-2:]
    row = SalesforceConnection.objects.create(
        user=user,
        organization_id=organization,
        salesforce_user_id=salesforce_user,
        login_url=site.origin,
        instance_url=tokens["instance_url"],
        scopes=tokens["scope"].split(),
        access_token=tokens["access_token"],
        refresh_token=tokens["refresh_token"],
    )
    return row.pk


def call(key: int) -> int:
    return SalesforceConnection.objects.get(pk=key).client().get("limits").status_code


work(site, store=store, calls={"client()": call})
