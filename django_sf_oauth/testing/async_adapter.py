"""The in-process way in for async clients: an httpx2 transport that hands every request to the fake."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx2

from .faults import AnswerLost
from .http import Request, drops

if TYPE_CHECKING:
    from .fake import FakeSalesforce


class FakeTransport(httpx2.AsyncBaseTransport):
    """Inside `FakeSalesforce.active` the package's async clients use it; for one of your own, mount it.

    Raises:
        ForeignHost: the host is none of the fake's. The request is in `FakeSalesforce.requests` all the same.
        httpx2.RemoteProtocolError: the answer is to be lost.
    """

    def __init__(self, fake: FakeSalesforce) -> None:
        self.fake = fake

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        received = Request(
            method=request.method,
            url=str(request.url),
            headers=dict(request.headers),
            body=(await request.aread()).decode(),
        )
        # On a thread: the fake sleeps where it shall be slow, and the event loop goes on meanwhile.
        return await asyncio.to_thread(self._answer, received)

    def _answer(self, request: Request) -> httpx2.Response:
        try:
            answer = self.fake.handle(request)
        except AnswerLost as lost:
            raise httpx2.RemoteProtocolError(str(lost)) from lost
        body = b"".join(drops(answer, self.fake.faults.sleep))
        return httpx2.Response(answer.status, headers=dict(answer.headers), content=body)
