"""An expired session is refreshed once, and the request resent once."""

from __future__ import annotations

import io
from typing import Any

import pytest

from django_sf_oauth.exceptions import TemporarilyUnavailable

from .conftest import Plug
from .wire import EXPIRED, INSTANCE, OK, QUERY, Held, client_of


def test_an_expired_session_is_refreshed_once_and_the_request_resent_once(plug: Plug) -> None:
    wire = plug(EXPIRED, OK)
    held = Held()

    response = client_of(held).post("sobjects/Account", json={"Name": "Acme"})

    assert response.status_code == 200
    assert wire.tokens == ["Bearer token-1", "Bearer token-2"]
    assert wire.bodies == [b'{"Name": "Acme"}'] * 2
    assert held.refused == [1]
    assert [one.status_code for one in response.history] == [401]


def test_a_refusal_after_a_redirect_is_the_second_one(plug: Plug) -> None:
    plug(EXPIRED, (302, "", {"Location": "/services/data/"}), EXPIRED, OK)
    held = Held()

    assert client_of(held).get("query").status_code == 401
    assert held.refused == [1]


def test_a_second_refusal_is_the_callers(plug: Plug) -> None:
    wire = plug(EXPIRED, EXPIRED)
    held = Held()

    assert client_of(held).get("query").status_code == 401
    assert (len(wire.urls), held.refused) == (2, [1])


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            401,
            '[{"message":"This session is not valid for use with the REST API","errorCode":"INVALID_SESSION_ID"}]',
        ),
        (401, '[{"message":"Connected app is not attached to Agent","errorCode":"INVALID_SESSION_ID"}]'),
        (403, '[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]'),
        (
            403,
            '[{"message":"The REST API is not enabled for this Organization","errorCode":"API_DISABLED_FOR_ORG"}]',
        ),
        (404, '[{"message":"The requested resource does not exist","errorCode":"NOT_FOUND"}]'),
        (503, "<html>maintenance</html>"),
        (200, '{"errorCode":"INVALID_SESSION_ID"}'),
    ],
    ids=["not-for-rest", "not-attached", "limit", "disabled", "not-found", "maintenance", "fine"],
)
def test_what_a_refresh_cannot_cure_is_not_refreshed(plug: Plug, status: int, body: str) -> None:
    wire = plug((status, body))
    held = Held()

    assert client_of(held).get("query").status_code == status
    assert (len(wire.urls), held.refused) == (1, [])


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, "Bad_OAuth_Token"),
        (400, "<error><exceptionCode>InvalidSessionId</exceptionCode></error>"),
        (500, "<faultcode>sf:INVALID_SESSION_ID</faultcode>"),
        (401, ""),
    ],
    ids=["userinfo", "bulk", "soap", "head"],
)
def test_every_surface_has_its_own_word_for_expired(plug: Plug, status: int, body: str) -> None:
    plug((status, body), OK)
    held = Held()

    assert client_of(held).get("/services/x").status_code == 200
    assert held.refused == [1]


def test_the_url_is_rebuilt_when_the_instance_has_moved(plug: Plug) -> None:
    wire = plug(EXPIRED, OK, OK)
    held = Held(moves_to="https://acme-na2.my.salesforce.com")
    client = client_of(held)

    client.get("query", params=QUERY)
    client.get(f"{INSTANCE}/services/data/")

    path = "/services/data/v66.0/query?q=SELECT+Id+FROM+Account"
    assert wire.urls == [
        f"{INSTANCE}{path}",
        f"https://acme-na2.my.salesforce.com{path}",
        "https://acme-na2.my.salesforce.com/services/data/",
    ]
    assert wire.tokens[1:] == ["Bearer token-2"] * 2


def test_another_threads_refresh_just_before_signing_is_not_repeated(plug: Plug) -> None:
    """The generation that a 401 speaks of is read before the token, never after it."""
    wire = plug(EXPIRED, OK)

    class Overtaken(Held):
        def bearer(self) -> str:
            token = super().bearer()
            if not self.refused:
                self.renew(1)  # another thread, between the token and whatever is read next
            return token

    held = Overtaken()

    assert client_of(held).get("query").status_code == 200
    assert (held.generation, held.refused) == (2, [1, 1])
    assert wire.tokens == ["Bearer token-1", "Bearer token-2"]


def test_a_generator_is_not_sent_again_and_the_error_says_so(plug: Plug) -> None:
    wire = plug(EXPIRED)
    held = Held()

    with pytest.raises(TemporarilyUnavailable, match="stream") as caught:
        client_of(held).post("sobjects/Account", data=(part for part in [b"a", b"b"]))

    assert caught.value.code == "body_not_resendable"
    assert (len(wire.urls), held.refused) == (1, [1])


def test_a_file_is_rewound_to_where_it_stood(plug: Plug) -> None:
    wire = plug(EXPIRED, OK)
    file = io.BytesIO(b"skipped,content")
    file.seek(8)

    client_of(Held()).put("jobs/ingest/1/batches", data=file)

    assert wire.bodies == [b"content"] * 2


@pytest.mark.parametrize("data", [None, "text", b"bytes", {"a": "form"}], ids=["none", "text", "bytes", "form"])
def test_a_plain_body_is_sent_again(plug: Plug, data: Any) -> None:
    wire = plug(EXPIRED, OK)

    client_of(Held()).post("x", data=data)

    assert wire.bodies[0] == wire.bodies[1]
