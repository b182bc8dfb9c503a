"""The async twin of the client: an ``httpx2.AsyncClient`` whose token renews itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from http.cookiejar import Cookie, DefaultCookiePolicy
from typing import Any, Protocol
from urllib.request import Request

from .conf import get_app
from .exceptions import ConfigurationError, TemporarilyUnavailable
from .protocol.api import read_api_failure
from .protocol.hosts import join_instance_url, same_origin
from .trust import raise_unless_trusted

try:
    import httpx2
except ImportError:
    raise ConfigurationError(
        'httpx2 is not installed: pip install "django-sf-oauth[async]"', code="missing_extra"
    ) from None

from .adapters.async_pool import SharedTransport

__all__ = ["AsyncClient", "AsyncConnectionAuth"]


class AsyncConnection(Protocol):
    """What an async client needs of a connection."""

    app: str
    generation: int

    @property
    def instance_url(self) -> str: ...

    async def abearer(self) -> str: ...

    async def arenew(self, refused_generation: int, *, forced: bool = False) -> bool: ...


class AsyncConnectionAuth(httpx2.Auth):
    """Signs requests to the connection's own instance; on an expired session it refreshes and resends once."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._known = connection.instance_url

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        connection = self._connection
        if not self._is_own(request):
            yield request
            return
        if isinstance(request.stream, httpx2.SyncByteStream):
            await request.aread()  # a form with files is held in memory, as by requests, and so can be sent again
        # Before the token is read: with another task's refresh in between, a refusal of the old token would be
        # taken for one of the new, and lead to another refresh.
        generation, instance_url = connection.generation, connection.instance_url
        raise_unless_trusted(instance_url, connection.app)
        request.headers["Authorization"] = f"Bearer {await connection.abearer()}"
        response = yield request
        if not await _is_expired(response, instance_url):
            return
        fresh = await connection.arenew(generation)
        generation, instance_url = connection.generation, connection.instance_url
        response = yield await self._again(response.request)
        if not fresh and await _is_expired(response, instance_url):
            # The newer tokens were another's, from before, and have run out, too.
            await connection.arenew(generation)
            yield await self._again(response.request)

    def _is_own(self, request: httpx2.Request) -> bool:
        url, own = str(request.url), self._connection.instance_url
        if own != self._known and same_origin(url, self._known):
            # An org that has moved answers at its new instance; whoever made the URL may not know it yet.
            _readdress(request, own)
            return True
        return same_origin(url, own)

    async def _again(self, request: httpx2.Request) -> httpx2.Request:
        if not isinstance(request.stream, httpx2.ByteStream):
            raise TemporarilyUnavailable(
                "The access token was renewed, but this request's body was a stream and cannot be sent again.",
                code="body_not_resendable",
            )
        _readdress(request, self._connection.instance_url)
        request.headers["Authorization"] = f"Bearer {await self._connection.abearer()}"
        return request


async def _is_expired(response: httpx2.Response, instance_url: str) -> bool:
    if response.status_code < 400 or not same_origin(str(response.request.url), instance_url):
        return False  # a redirect may have led elsewhere
    kind = response.headers.get("Content-Type", "")
    failure = read_api_failure(status=response.status_code, content_type=kind, body=await response.aread())
    return failure.kind == "expired"


def _readdress(request: httpx2.Request, instance_url: str) -> None:
    own = httpx2.URL(instance_url)
    request.url = request.url.copy_with(scheme=own.scheme, netloc=own.netloc)
    request.headers["Host"] = own.netloc.decode("ascii")


class _OwnCookies(DefaultCookiePolicy):
    """Takes no cookie from an answer: those that Salesforce sets for all of its domain would go to other orgs."""

    def set_ok(self, cookie: Cookie, request: Request) -> bool:
        return False


class AsyncClient(httpx2.AsyncClient):
    """An ``httpx2.AsyncClient`` on one connection.

    ``await client.get("query", params=…)`` is relative to ``/services/data/vNN.N/``,
    ``client.get("/services/data/")`` to the instance. An absolute URL is requested as it is; only the instance
    itself ever sees the token. Redirects are followed, and the timeouts are those of ``TIMEOUTS`` unless others
    are given (seconds).

    All clients of an event loop share its connections to the orgs, which are closed when it ends.

    A request raises what one of `Client` raises, but ``httpx2`` errors for trouble on the way to the API.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        timeouts = get_app(connection.app).timeouts
        super().__init__(
            transport=SharedTransport(),
            auth=AsyncConnectionAuth(connection),
            timeout=httpx2.Timeout(timeouts.total, connect=timeouts.connect),
            follow_redirects=True,
        )
        self.cookies.jar.set_policy(_OwnCookies())
        self.connection = connection

    def build_request(self, method: str, url: httpx2.URL | str, **kwargs: Any) -> httpx2.Request:
        """As ``httpx2.AsyncClient.build_request``, with the URL completed."""
        api_version = get_app(self.connection.app).api_version
        full_url = join_instance_url(self.connection.instance_url, str(url), api_version)
        return super().build_request(method, full_url, **kwargs)
