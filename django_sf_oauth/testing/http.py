"""Requests and responses as plain values: the adapter and the server hand the same ones to the fake."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, unquote, urlsplit

JSON = "application/json;charset=UTF-8"
TEXT = "text/plain;charset=UTF-8"
HTML = "text/html;charset=UTF-8"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One HTTP request. Header names are in lower case; `url` is absolute; the body is text.

    The repr keeps to method, host and path, for everything else may hold a secret.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: str = field(default="", repr=False)

    @property
    def host(self) -> str:
        return host_of(self.url)

    @property
    def path(self) -> str:
        """The path, without the trailing slash that some clients append."""
        return urlsplit(self.url).path.rstrip("/") or "/"

    @property
    def query_string(self) -> str:
        return urlsplit(self.url).query

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body, keep_blank_values=True))

    @property
    def bearer(self) -> str:
        """The bearer token of the Authorization header, or nothing."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() in {"bearer", "oauth"} else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """One HTTP response. `pause` makes the body drip: so many seconds before each byte.

    `error` and `detail` are for the fake's own records; they are not sent.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    pause: float = 0.0
    error: str = ""
    detail: str = ""


def respond(body: str, *, status: int = 200, content_type: str, **headers: str) -> Response:
    """A response that no cache may keep. Header names come as keywords: ``set_cookie`` is ``Set-Cookie``."""
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    fixed = {"Content-Type": content_type, "Cache-Control": "no-cache, no-store"}
    return Response(status=status, headers={**fixed, **named}, body=body.encode())


def respond_json(value: object, *, status: int = 200) -> Response:
    return respond(json.dumps(value), status=status, content_type=JSON)


def respond_word(word: str, *, status: int) -> Response:
    """An error that is one word of plain text, such as ``Bad_Id``."""
    return replace(respond(word, status=status, content_type=TEXT), error=word)


def redirect(location: str, *, status: int = 302, **headers: str) -> Response:
    return respond("", status=status, content_type=TEXT, location=location, **headers)


def host_of(url: str) -> str:
    """The host of a URL in lower case, with the port when it is not the scheme's own."""
    parts = urlsplit(url)
    own_port = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    return parts.netloc.lower().removesuffix(own_port)


def read_basic(authorization: str) -> tuple[str, str] | None:
    """Client id and secret of a Basic Authorization header (RFC 6749, section 2.3.1)."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return unquote(client_id), unquote(secret)


def drops(response: Response, sleep: Callable[[float], None]) -> Iterator[bytes]:
    """The body as it is sent: whole, or byte by byte with the pauses between."""
    if not response.pause:
        yield response.body
        return
    for byte in response.body:
        sleep(response.pause)
        yield bytes([byte])
