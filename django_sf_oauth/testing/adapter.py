"""The in-process way in: a requests adapter that hands every request to the fake. No socket is opened."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import requests
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from .faults import AnswerLost
from .http import Request, Response, drops

if TYPE_CHECKING:
    from .async_adapter import FakeTransport
    from .fake import FakeSalesforce


class ForeignHost(AssertionError):
    """A request left for a host that is not Salesforce's. Had it been a real one, it might have got a token."""

    def __init__(self, host: str) -> None:
        super().__init__(f"A request went to {host!r}, which the fake Salesforce does not serve.")
        self.host = host


class FakeAdapter(HTTPAdapter):
    """Mount it on any session, or plug it into the whole package with `FakeSalesforce.active`.

    Raises:
        ForeignHost: the host is none of the fake's. The request is in `FakeSalesforce.requests` all the same.
        requests.ConnectionError: the answer is to be lost.
    """

    def __init__(self, fake: FakeSalesforce) -> None:
        super().__init__()
        self.fake = fake

    def async_twin(self) -> FakeTransport:
        """What serves the async clients of the package while this serves the others."""
        from .async_adapter import FakeTransport  # httpx2 may not be installed

        return FakeTransport(self.fake)

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        try:
            answer = self.fake.handle(_received(request))
        except AnswerLost as lost:
            raise requests.ConnectionError(str(lost), request=request) from lost
        response = self.build_response(request, _raw(answer, request, self.fake.faults.sleep))
        if not kwargs.get("stream"):
            # As over a real connection: the body is read before a retry or a hook sees the answer.
            response.content  # noqa: B018  # reading it is the point
        return response


def _received(request: PreparedRequest) -> Request:
    body: Any = request.body or b""  # text, bytes or an iterable of bytes
    return Request(
        method=request.method or "GET",
        url=request.url or "",
        headers={name.lower(): _text(value) for name, value in request.headers.items()},
        body=_text(body if isinstance(body, str | bytes) else b"".join(body)),
    )


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


def _raw(answer: Response, request: PreparedRequest, sleep: Callable[[float], None]) -> HTTPResponse:
    body = Drip(drops(answer, sleep)) if answer.pause else io.BytesIO(answer.body)
    return HTTPResponse(
        body=body,
        headers=dict(answer.headers),
        status=answer.status,
        request_method=request.method,
        preload_content=False,
        decode_content=False,
    )


class Drip(io.RawIOBase):
    """A body that comes byte by byte."""

    def __init__(self, drops: Iterator[bytes]) -> None:
        super().__init__()
        self._drops = drops

    def readinto(self, buffer: Any) -> int:
        drop = next(self._drops, b"")
        buffer[: len(drop)] = drop
        return len(drop)
