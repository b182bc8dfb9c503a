"""What ``request.salesforce`` costs."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import connection as database
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from django_sf_oauth.exceptions import NotConnected
from django_sf_oauth.middleware import SalesforceMiddleware
from django_sf_oauth.models import SalesforceConnection

from .wire import QUERY

pytestmark = pytest.mark.django_db


def request_of(user: object) -> Any:
    request = RequestFactory().get("/")
    request.user = user  # type: ignore[assignment]  # as the middleware before ours does
    seen: list[Any] = []
    SalesforceMiddleware(lambda request: seen.append(request))(request)
    return seen[0]


def test_request_salesforce_costs_nothing_until_it_is_used(salesforce_connection: SalesforceConnection) -> None:
    with CaptureQueriesContext(database) as untouched:
        request = request_of(salesforce_connection.user)
    with CaptureQueriesContext(database) as first:
        answer = request.salesforce.get("query", params=QUERY)
    with CaptureQueriesContext(database) as second:
        request.salesforce.get("query", params=QUERY)

    assert answer.json()["totalSize"] == 12
    assert (len(untouched), len(first), len(second)) == (0, 1, 0)


def test_a_second_use_decrypts_nothing(
    salesforce_connection: SalesforceConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    decrypted: list[bytes] = []
    decrypt = Fernet.decrypt

    def count(self: Fernet, token: bytes) -> bytes:
        decrypted.append(token)
        return decrypt(self, token)

    monkeypatch.setattr(Fernet, "decrypt", count)
    request = request_of(salesforce_connection.user)

    counts = []
    for _ in range(3):
        request.salesforce.get("query", params=QUERY)
        counts.append(len(decrypted))

    assert counts == [1, 1, 1]


def test_request_salesforce_of_nobody_raises_when_it_is_used_and_not_before() -> None:
    request = request_of(None)

    with pytest.raises(NotConnected):
        request.salesforce.get("query")
