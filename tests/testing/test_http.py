from __future__ import annotations

import base64
from xml.etree import ElementTree

import pytest

from django_sf_oauth.testing.formats import answer
from django_sf_oauth.testing.http import Request, Response, drops, host_of, read_basic

VALUES = {"error": "x", "error_description": "<&> é"}
TOKEN = "https://login.salesforce.com/services/oauth2/token"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Login.Salesforce.com/x", "login.salesforce.com"),
        ("https://login.salesforce.com:443/x", "login.salesforce.com"),
        ("https://login.salesforce.com:8443/x", "login.salesforce.com:8443"),
        ("http://127.0.0.1:80/", "127.0.0.1"),
        ("http://127.0.0.1:443/", "127.0.0.1:443"),
    ],
)
def test_the_host_names_only_a_port_that_is_not_the_schemes(url: str, host: str) -> None:
    assert host_of(url) == host


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"Basic {base64.b64encode(b'id:se%3Acret').decode()}", ("id", "se:cret")),
        (f"basic {base64.b64encode(b'id').decode()}", ("id", "")),
        ("Bearer x", None),
        ("Basic ***", None),
        (f"Basic {base64.b64encode(bytes([255])).decode()}", None),
        ("", None),
    ],
)
def test_a_basic_header_is_read_or_is_none(header: str, expected: tuple[str, str] | None) -> None:
    assert read_basic(header) == expected


@pytest.mark.parametrize(("header", "token"), [("Bearer t", "t"), ("OAuth t", "t"), ("Basic t", ""), ("", "")])
def test_a_bearer_header_is_read_or_is_empty(header: str, token: str) -> None:
    assert Request(method="GET", url="https://x/", headers={"authorization": header}).bearer == token


@pytest.mark.parametrize(("url", "path"), [("https://x", "/"), ("https://x/a/", "/a"), ("https://x/a?q", "/a")])
def test_the_path_has_no_trailing_slash(url: str, path: str) -> None:
    assert Request(method="GET", url=url).path == path


def test_a_request_prints_no_secret() -> None:
    request = Request(method="POST", url=f"{TOKEN}?s3cret", headers={"a": "s3cret"}, body="s3cret")

    assert "s3cret" not in repr(request)


@pytest.mark.parametrize(
    ("form", "accept", "kind"),
    [
        ("", "", "application/json"),
        ("", "*/*", "application/json"),
        ("", "text/html, application/xml;q=0.9", "application/xml"),
        ("format=urlencoded", "application/xml", "application/x-www-form-urlencoded"),
        ("format=xml", "application/json", "application/xml"),
        ("format=json", "application/xml", "application/json"),
        ("format=yaml", "application/xml", "application/xml"),
    ],
)
def test_the_format_parameter_beats_the_accept_header(form: str, accept: str, kind: str) -> None:
    request = Request(method="POST", url=TOKEN, headers={"accept": accept}, body=form)

    assert answer(request, VALUES).headers["Content-Type"] == f"{kind};charset=UTF-8"


def test_xml_escapes_what_it_holds() -> None:
    request = Request(method="POST", url=TOKEN, body="format=xml")

    root = ElementTree.fromstring(answer(request, VALUES).body)  # noqa: S314  # our own document

    assert {child.tag: child.text for child in root} == VALUES


def test_a_body_drips_byte_by_byte_with_pauses() -> None:
    naps: list[float] = []

    dripped = list(drops(Response(body=b"abc", pause=0.5), naps.append))

    assert (dripped, naps) == ([b"a", b"b", b"c"], [0.5, 0.5, 0.5])


def test_a_body_without_a_pause_comes_whole() -> None:
    naps: list[float] = []

    assert (list(drops(Response(body=b"abc"), naps.append)), naps) == ([b"abc"], [])
