"""The client as a session of requests."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from django_sf_oauth.adapters import shared_adapter
from django_sf_oauth.client import ConnectionAuth

from .conftest import Plug
from .wire import EXPIRED, INSTANCE, OK, Held, Wire, client_of


@pytest.mark.parametrize(
    ("given", "kept"),
    [({}, (5.0, 60.0)), ({"timeout": 3}, 3), ({"timeout": None}, None)],
    ids=["ours", "own", "none"],
)
def test_the_callers_timeout_holds_for_both_tries(plug: Plug, given: dict[str, Any], kept: Any) -> None:
    wire = plug(EXPIRED, OK)

    client_of(Held()).get("query", **given)

    assert wire.timeouts == [kept, kept]


def test_closing_a_session_keeps_the_shared_pool(plug: Plug) -> None:
    wire = plug(OK)

    with client_of(Held()) as client:
        client.get("query")

    assert not wire.closed


def test_sessions_share_the_adapter_of_the_moment(plug: Plug) -> None:
    client = client_of(Held())
    first, second = plug(OK), plug(OK)

    client.get("query")

    assert (len(first.urls), len(second.urls)) == (0, 1)
    assert shared_adapter() is second


def test_any_requests_session_can_use_the_connection() -> None:
    wire = Wire(EXPIRED, OK)
    with requests.Session() as session:
        session.mount("https://", wire)

        response = session.get(f"{INSTANCE}/services/data/", auth=ConnectionAuth(Held()))

    assert response.status_code == 200
    assert wire.tokens == ["Bearer token-1", "Bearer token-2"]
