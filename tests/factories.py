"""Rows for tests, with believable values and made-up tokens."""

from __future__ import annotations

from itertools import count
from typing import Any

from django.contrib.auth import get_user_model

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.protocol.identity import to_18

__all__ = ["make_connection", "make_user"]

numbers = count(1)


def make_user(**values: Any) -> Any:
    return get_user_model().objects.create_user(**{"username": f"user{next(numbers)}", "password": "pw", **values})


def make_connection(*, save: bool = True, **values: Any) -> SalesforceConnection:
    number = next(numbers)
    defaults = {
        "organization_id": to_18("00D000000000001"),
        "salesforce_user_id": to_18(f"005{number:012d}"),
        "username": f"ada{number}@example.com",
        "organization_name": "Acme",
        "instance_url": "https://acme.my.salesforce.com",
        "login_url": "https://login.salesforce.com",
        "scopes": ["api", "refresh_token", "openid"],
        "access_token": f"00D000000000001!access{number}",
        "refresh_token": f"5Aep861refresh{number}",
    }
    user = values.pop("user", None) or make_user()
    connection = SalesforceConnection(user=user, **{**defaults, **values})
    if save:
        connection.save()
    return connection
