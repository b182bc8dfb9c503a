from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from django_sf_oauth.protocol.errors import Actor, Grant, Refusal
from django_sf_oauth.protocol.identity import parse_identity, token_org_prefix, verify_signature
from django_sf_oauth.protocol.tokens import TokenAnswer, jwt_expiry, missing_scopes, read_answer
from tests.responses import response

JSON, FORM, XML = "application/json;charset=UTF-8", "application/x-www-form-urlencoded", "application/xml"
ACCESS_TOKEN = "00D000000000001!AQ0AQFakeAccessToken.Of_The_Tests.0123456789abcdef"
MALFORMED = Refusal(actor=Actor.NOBODY, reason="malformed_answer", status=200, answer_lost=True)


def read(body: bytes, *, content_type: str = JSON, status: int = 200) -> TokenAnswer | Refusal:
    return read_answer(status=status, content_type=content_type, body=body, grant="refresh_token")


def read_members(**members: Any) -> TokenAnswer | Refusal:
    return read(json.dumps({"access_token": ACCESS_TOKEN, **members}).encode())


@pytest.mark.parametrize(
    ("content_type", "name"),
    [(JSON, "code_exchange.json"), (FORM, "code_exchange.txt"), (XML, "code_exchange.xml")],
)
def test_an_answer_is_read_alike_in_every_format(content_type: str, name: str) -> None:
    answer = read(response(name), content_type=content_type)

    assert answer == TokenAnswer(
        access_token=ACCESS_TOKEN,
        refresh_token="5Aep861FakeRefreshTokenOfTheTests0123456789",
        instance_url="https://acme.my.salesforce.com",
        id="https://login.salesforce.com/id/00D000000000001EAA/005000000000001AAA",
        issued_at="1700000000000",
        signature="iZyywartko6DPR84UgHB3aTBzNIYhblcaq9DPcGTFsU=",
        scopes=("refresh_token", "api", "openid"),
        token_type="Bearer",
        id_token="eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJmYWtlIn0.ZmFrZQ",
        token_format="opaque",
        community_url="https://acme.my.site.com/partners",
    )


def test_an_answer_keeps_what_the_signature_covers() -> None:
    answer = read(response("code_exchange.json"))

    assert isinstance(answer, TokenAnswer)
    assert answer.id is not None
    assert answer.issued_at is not None
    assert answer.signature is not None
    assert verify_signature(
        secrets=["0123456789ABCDEF" * 4],
        identity_url=answer.id,
        issued_at=answer.issued_at,
        signature=answer.signature,
    )


def test_the_documented_refresh_answer_lacks_what_the_stored_row_has() -> None:
    answer = read(response("refresh_documented.json"))

    assert isinstance(answer, TokenAnswer)
    assert answer.instance_url == "https://yourInstance.salesforce.com"
    assert (answer.refresh_token, answer.scopes, answer.token_type) == (None, None, "Bearer")
    assert answer.issued_at_ms == 1278448384422
    identity = parse_identity(answer.id or "")
    assert identity is not None
    assert identity.organization_id.startswith(token_org_prefix(answer.access_token) or "-")


def test_the_shortest_documented_answer_is_enough() -> None:
    assert read(response("refresh_short.json")) == TokenAnswer(
        access_token="00Dx0000000BV7z!Sample", instance_url="https://yourInstance.salesforce.com"
    )


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_refresh_token_means_keep_the_stored_one(empty: str | None) -> None:
    assert read_members(refresh_token=empty) == TokenAnswer(access_token=ACCESS_TOKEN)


def test_an_empty_member_counts_as_absent() -> None:
    body = f"<OAuth><access_token>{ACCESS_TOKEN}</access_token><refresh_token/><scope/><id/></OAuth>"

    assert read(body.encode(), content_type=XML) == TokenAnswer(access_token=ACCESS_TOKEN)


@pytest.mark.parametrize(
    "token",
    [None, "", 5, True, ["a"], {"a": "b"}, "a b", "a\n", "a\r\nX: y", "é", "\x00", "\ud800"],
    ids=ascii,
)
@pytest.mark.parametrize("name", ["access_token", "refresh_token"])
def test_a_token_that_cannot_be_one_is_refused(name: str, token: object) -> None:
    if name == "refresh_token" and token in (None, ""):
        token = 0

    assert read_members(**{name: token}) == MALFORMED


def test_a_rotated_refresh_token_is_not_lost_over_another_member_of_the_wrong_type() -> None:
    answer = read_members(
        refresh_token="5Aep861Rotated",
        instance_url=5,
        id=["x"],
        issued_at=1.5,
        signature={},
        scope=["api"],
        token_type=None,
        id_token=False,
        token_format=0,
        expires_in=[],
        sfdc_community_url=1,
    )

    assert answer == TokenAnswer(access_token=ACCESS_TOKEN, refresh_token="5Aep861Rotated")


@pytest.mark.parametrize(
    ("issued_at", "text", "number"),
    [
        ("1700000000000", "1700000000000", 1700000000000),
        pytest.param(1700000000000, "1700000000000", 1700000000000, id="number"),
        ("yesterday", "yesterday", None),
        ("-1", "-1", None),
        ("\u0661", "\u0661", None),
        ("1" * 16, "1" * 16, None),
        ("9" * 15, "9" * 15, None),
        ("", None, None),
        (None, None, None),
        (True, None, None),
    ],
)
def test_issued_at_is_kept_as_text_and_read_as_milliseconds(
    issued_at: object, text: str | None, number: int | None
) -> None:
    answer = read_members(issued_at=issued_at)

    assert isinstance(answer, TokenAnswer)
    assert (answer.issued_at, answer.issued_at_ms) == (text, number)


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [(7200, 7200), ("3600", 3600), (0, 0), (-1, None), ("soon", None), (10**12, None), (True, None)],
)
def test_expires_in_is_honoured_if_it_ever_comes(expires_in: object, seconds: int | None) -> None:
    answer = read_members(expires_in=expires_in)

    assert isinstance(answer, TokenAnswer)
    assert answer.expires_in == seconds


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, b""),
        (JSON, b"null"),
        (JSON, b"[]"),
        (JSON, b"{}"),
        (JSON, b'{"access_token": null}'),
        (JSON, b'{"access_token": "a", "access_token": "b"}'),
        (FORM, b"access_token=a&access_token=b"),
        (FORM, b"access_token="),
        (XML, b"<OAuth/>"),
        (XML, b'<!DOCTYPE OAuth [<!ENTITY a "b">]><OAuth><access_token>&a;</access_token></OAuth>'),
        ("text/html", b"<html><body>access_token=a</body></html>"),
        ("text/html", b'{"access_token": "a"}'),
        (JSON, b'{"access_token": "a", "error": 5}'),
    ],
)
def test_a_success_without_a_token_is_a_lost_answer(content_type: str, body: bytes) -> None:
    assert read(body, content_type=content_type) == MALFORMED


@pytest.mark.parametrize("status", [201, 204, 301, 400, 401, 403, 404, 429, 500, 503])
def test_a_token_in_an_unsuccessful_answer_is_not_believed(status: int) -> None:
    assert isinstance(read(response("code_exchange.json"), status=status), Refusal)


def test_an_error_beats_a_token() -> None:
    assert read_members(error="invalid_grant", error_description="inactive user") == Refusal(
        actor=Actor.CUSTOMER_ADMIN, reason="inactive_user", error="invalid_grant", status=200
    )


@pytest.mark.parametrize(
    ("grant", "actor", "reason"),
    [
        ("refresh_token", Actor.NOBODY, "contention"),
        ("authorization_code", Actor.ATTEMPT, "code_expired"),
    ],
)
def test_the_same_words_mean_contention_on_refresh_and_a_spent_code_on_the_code_grant(
    grant: Grant, actor: Actor, reason: str
) -> None:
    body = b'{"error":"invalid_grant","error_description":"expired authorization code"}'

    refusal = read_answer(status=400, content_type=JSON, body=body, grant=grant, retry_after=2.0)

    assert refusal == Refusal(actor=actor, reason=reason, error="invalid_grant", status=400, retry_after=2.0)


def test_no_repr_shows_a_token() -> None:
    answer = read(response("code_exchange.json"))

    assert "AQ0AQ" not in repr(answer)
    assert "5Aep861" not in repr(answer)
    assert "eyJ" not in repr(answer)
    assert "iZyywartko6" not in repr(answer)


def jwt(claims: object) -> str:
    return f"eyJhbGciOiJSUzI1NiJ9.{encoded(json.dumps(claims).encode())}.c2lnbmF0dXJl"


def encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize(
    ("token", "expiry"),
    [
        (jwt({"exp": 1700000000}), 1700000000),
        (jwt({"exp": 1700000000, "x": "?>~"}), 1700000000),
        (jwt({"exp": 1700000000.9}), 1700000000),
        (jwt({"exp": "1700000000"}), None),
        (jwt({"exp": True}), None),
        (jwt({"exp": None}), None),
        (jwt({"exp": 0}), None),
        (jwt({"exp": -1}), None),
        (jwt({"exp": 10**15}), None),
        (jwt({"exp": float("inf")}), None),
        (jwt({"exp": float("nan")}), None),
        (jwt({}), None),
        (jwt([1]), None),
        (jwt(None), None),
        (f"a.{encoded(b'{')}.b", None),
        pytest.param(f"a.{encoded(b'[' * 100_000)}.b", None, id="deep"),
        (f"a.{encoded(bytes([255]))}.b", None),
        ("a.b.c", None),
        ("a.é.c", None),
        ("..", None),
        (ACCESS_TOKEN, None),
        ("", None),
    ],
)
def test_the_expiry_of_a_jwt_is_read_and_of_nothing_else(token: str, expiry: int | None) -> None:
    assert jwt_expiry(token) == expiry


@pytest.mark.parametrize(
    ("granted", "wanted", "missing"),
    [
        ("api refresh_token", "api refresh_token", ""),
        ("", "", ""),
        ("api", "", ""),
        ("", "api openid api", "api openid"),
        ("api refresh_token", "offline_access", ""),
        ("api offline_access", "refresh_token", ""),
        ("api", "offline_access", "offline_access"),
        ("full", "api web openid chatter_api custom", ""),
        ("full", "api refresh_token", "refresh_token"),
        ("full", "offline_access", "offline_access"),
        ("full refresh_token", "api refresh_token", ""),
        ("api", "full", "full"),
        ("api", "chatter_api", ""),
        ("chatter_api", "api", "api"),
        ("web", "visualforce", ""),
        ("visualforce", "web", "web"),
        ("id", "profile email address phone", ""),
        ("profile", "id", ""),
        ("api", "API", "API"),
        ("openid", "id", "id"),
    ],
)
def test_scopes_cover_as_salesforce_documents(granted: str, wanted: str, missing: str) -> None:
    assert missing_scopes(granted.split(), wanted.split()) == tuple(missing.split())
