from __future__ import annotations

import pytest

from django_sf_oauth.protocol.api import LONGEST_CODE, ApiFailure, Kind, read_api_failure
from tests.responses import response

JSON, XML, TEXT, HTML = "application/json;charset=UTF-8", "text/xml", "text/plain", "text/html"


@pytest.mark.parametrize(
    ("status", "content_type", "name", "kind", "code"),
    [
        (401, JSON, "rest_session_expired.json", "expired", "INVALID_SESSION_ID"),
        (401, "application/xml", "rest_session_expired.xml", "expired", "INVALID_SESSION_ID"),
        (500, XML, "soap_session_expired.xml", "expired", "INVALID_SESSION_ID"),
        (400, XML, "bulk_session_expired.xml", "expired", "InvalidSessionId"),
        (400, JSON, "bulk_session_expired.json", "expired", "InvalidSessionId"),
        (403, TEXT, "userinfo_expired.txt", "expired", "Bad_OAuth_Token"),
        (401, JSON, "rest_session_not_valid.json", "not_refreshable", "INVALID_SESSION_ID"),
        (401, JSON, "rest_not_attached.json", "not_refreshable", "INVALID_SESSION_ID"),
        (403, JSON, "rest_request_limit.json", "limit", "REQUEST_LIMIT_EXCEEDED"),
        (403, JSON, "rest_api_disabled.json", "forbidden", "API_DISABLED_FOR_ORG"),
        (503, HTML, "maintenance.html", "other", ""),
        (403, HTML, "maintenance.html", "forbidden", ""),
        (401, HTML, "maintenance.html", "other", ""),
        (401, HTML, "rest_session_expired.xml", "other", ""),
        (403, HTML, "userinfo_expired.txt", "expired", "Bad_OAuth_Token"),
    ],
)
def test_each_surface_says_expired_in_its_own_way(
    status: int, content_type: str, name: str, kind: Kind, code: str
) -> None:
    failure = read_api_failure(status=status, content_type=content_type, body=response(name))

    assert failure == ApiFailure(kind=kind, code=code, status=status)


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (401, b"", "expired", ""),
        (401, b" \n", "expired", ""),
        (400, b"", "other", ""),
        (403, b"", "forbidden", ""),
        (403, b"Missing_OAuth_Token", "forbidden", "Missing_OAuth_Token"),
        (401, b'[{"errorCode": "INVALID_AUTH_HEADER"}]', "other", "INVALID_AUTH_HEADER"),
        (404, b'[{"errorCode": "NOT_FOUND"}]', "other", "NOT_FOUND"),
        (429, b"", "limit", ""),
        (500, b"<faultcode>sf:REQUEST_LIMIT_EXCEEDED</faultcode>", "limit", "REQUEST_LIMIT_EXCEEDED"),
        (401, b"[]", "other", ""),
        (401, b"[[]]", "other", ""),
        (401, b"{", "other", ""),
        (401, b"{}", "other", ""),
        pytest.param(401, b"[" * 100_000, "other", "", id="deep"),
        (401, b'[{"errorCode": 5}]', "other", ""),
        (401, b'[{"errorCode": "a b"}]', "other", ""),
        (401, b"\xff\xfe", "other", ""),
        (500, b"<faultstring>INVALID_SESSION_ID</faultstring>", "other", ""),
        (400, b"I say: Bad_OAuth_Token", "other", ""),
    ],
)
def test_anything_else_asks_for_no_refresh(status: int, body: bytes, kind: Kind, code: str) -> None:
    assert read_api_failure(status=status, content_type="", body=body) == ApiFailure(
        kind=kind, code=code, status=status
    )


@pytest.mark.parametrize(
    "body",
    [
        b'[{"errorCode": "%s"}]' % (b"A" * 1000),
        b"<errorCode>%s</errorCode>" % (b"A" * 1000),
        b"A" * 1000,
    ],
    ids=["json", "xml", "text"],
)
def test_an_endless_code_is_not_kept(body: bytes) -> None:
    assert len(read_api_failure(status=400, content_type="", body=body).code) <= LONGEST_CODE
