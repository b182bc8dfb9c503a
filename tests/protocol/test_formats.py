from __future__ import annotations

import pytest

from django_sf_oauth.protocol.formats import MOST_FIELDS, is_json, read_fields

JSON, FORM, XML = "application/json;charset=UTF-8", "application/x-www-form-urlencoded", "application/xml"

BILLION_LAUGHS = b"""<?xml version="1.0"?>
<!DOCTYPE OAuth [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<OAuth><access_token>&b;</access_token></OAuth>"""
EXTERNAL_ENTITY = b"""<!DOCTYPE OAuth [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<OAuth><access_token>&x;</access_token></OAuth>"""


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, b'{"error": "a b", "error_description": ""}'),
        ("", b' {"error": "a b", "error_description": ""}\n'),
        (FORM, b"error=a+b&error_description="),
        (JSON, b"<OAuth><error>a b</error><error_description/></OAuth>"),
        ("text/plain", b"error=a%20b&error_description=\n"),
        (XML, b"<OAuth><error>a b</error><error_description></error_description></OAuth>"),
        ("text/xml", b"<x:r xmlns:x='urn:x'>\n<x:error> a b </x:error><x:error_description/></x:r>"),
        ("", b"<response><error>a b</error><error_description/></response>"),
    ],
)
def test_all_formats_are_read_alike(content_type: str, body: bytes) -> None:
    assert read_fields(content_type, body) == {"error": "a b", "error_description": ""}


def test_json_keeps_its_types() -> None:
    assert read_fields(JSON, b'{"active": true, "exp": 1, "x": null}') == {"active": True, "exp": 1, "x": None}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, b""),
        ("", b" \n"),
        (XML, b""),
        (JSON, b"null"),
        (JSON, b"[]"),
        (JSON, b'"text"'),
        (JSON, b"5"),
        (JSON, b"{"),
        (JSON, b"\xff\xfe"),
        (JSON, b'{"a": "\xff"}'),
        pytest.param(JSON, b"[" * 100_000, id="deep array"),
        pytest.param(JSON, b'{"a":' * 100_000, id="deep object"),
        pytest.param(JSON, b'{"a": ' + b"1" * 5000 + b"}", id="endless number"),
        ("", b"[1]"),
        ("text/html", b"<html/>"),
        ("text/html;charset=UTF-8", b"error=invalid_grant"),
        ("text/html", b'{"error": "invalid_grant"}'),
        ("text/plain", b"Bad_Id"),
        (FORM, b"a=b&c"),
        (FORM, b"a=\xff"),
        pytest.param(FORM, b"&".join(b"a%d=b" % number for number in range(MOST_FIELDS + 1)), id="many fields"),
        (XML, b"<OAuth>"),
        (XML, b"<a/><b/>"),
        (XML, b"<OAuth>&lol;</OAuth>"),
        (XML, b'<?xml version="1.0" encoding="klingon"?><OAuth/>'),
        ("", b"<!DOCTYPE html><html><body></body></html>"),
        pytest.param(XML, BILLION_LAUGHS, id="billion laughs"),
        pytest.param(XML, EXTERNAL_ENTITY, id="external entity"),
    ],
)
def test_a_hostile_or_broken_answer_has_no_fields(content_type: str, body: bytes) -> None:
    assert read_fields(content_type, body) is None


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, b'{"access_token": "a", "access_token": "b"}'),
        (FORM, b"access_token=a&access_token=b"),
        (XML, b"<OAuth><access_token>a</access_token><access_token>b</access_token></OAuth>"),
    ],
    ids=["json", "form", "xml"],
)
def test_a_doubled_name_is_refused(content_type: str, body: bytes) -> None:
    assert read_fields(content_type, body) is None


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b' {"a": 1}'])
def test_json_of_any_kind_is_known_as_such(body: bytes) -> None:
    assert is_json(body)


@pytest.mark.parametrize("body", [b"", b"<a/>", b"{", b"Bad_Id", pytest.param(b"[" * 100_000, id="deep"), b"\xff"])
def test_anything_else_is_not_json(body: bytes) -> None:
    assert not is_json(body)
