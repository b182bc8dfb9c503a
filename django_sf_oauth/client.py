"""What people hold: a ``requests.Session`` whose calls reach the org and whose token renews itself."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.auth import AuthBase
from requests.exceptions import UnrewindableBodyError
from requests.utils import rewind_body

from .adapters import LeanSession, shared_adapter
from .conf import get_app
from .exceptions import ConfigurationError, TemporarilyUnavailable
from .protocol.api import read_api_failure
from .protocol.hosts import join_instance_url, origin_of, same_origin
from .trust import raise_unless_trusted

if TYPE_CHECKING:
    from simple_salesforce import Salesforce

__all__ = ["Client", "ConnectionAuth", "simple_salesforce"]

_instance_origin = lru_cache(maxsize=1024)(origin_of)  # of few URLs, and asked for at each request


class Connection(Protocol):
    """What a client needs of a connection."""

    app: str
    generation: int

    @property
    def instance_url(self) -> str: ...

    def bearer(self) -> str: ...

    def renew(self, refused_generation: int, *, forced: bool = False) -> bool: ...


class ConnectionAuth(AuthBase):
    """Signs requests to the connection's own instance; on an expired session it refreshes and resends once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        known = connection.instance_url
        # simple-salesforce writes https whatever the instance's URL says, and a fake on loopback has none.
        self._known = {_instance_origin(known), _instance_origin(known.replace("http://", "https://", 1))}

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        connection = self._connection
        origin, own = origin_of(request.url or ""), _instance_origin(connection.instance_url)
        if origin is None or own is None:
            return request
        if origin != own and origin in self._known:
            # An org that has moved answers at its new instance; whoever made the URL may not know it yet.
            _readdress(request, connection.instance_url)
            origin = own
        if origin == own:
            # Before the token is read: with another thread's refresh in between, the hook would hold the new
            # generation for the refused one, and refresh again.
            request.hooks["response"].append(_Renewal(connection))
            raise_unless_trusted(connection.instance_url, connection.app)
            request.headers["Authorization"] = f"Bearer {connection.bearer()}"
        return request


class _Renewal:
    """The response hook of one request."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._generation = connection.generation
        self._instance_url = connection.instance_url
        self._spent = False

    def __call__(self, response: requests.Response, **kwargs: Any) -> requests.Response:
        if response.status_code < 400 or self._spent:
            return response
        own = same_origin(response.request.url or "", self._instance_url)  # a redirect may have led elsewhere
        if not own or not _is_expired(response):
            return response
        self._spent = True
        fresh = self._connection.renew(self._generation)
        generation = self._connection.generation
        answer = self._resend(response, **kwargs)
        if fresh or answer.status_code < 400 or not _is_expired(answer):
            return answer
        # The newer tokens were another's, from before, and have run out, too.
        self._connection.renew(generation)
        return self._resend(answer, **kwargs)

    def _resend(self, response: requests.Response, **kwargs: Any) -> requests.Response:
        again = response.request  # and no copy: a redirect that follows starts from it, with the new token
        if not _rewind(again):
            raise TemporarilyUnavailable(
                "The access token was renewed, but this request's body was a stream and cannot be sent again.",
                code="body_not_resendable",
            )
        _readdress(again, self._connection.instance_url)
        again.headers["Authorization"] = f"Bearer {self._connection.bearer()}"
        response.close()
        # The hook's own arguments: the caller's timeout, proxies and certificates hold for the second try too.
        answer: requests.Response = response.connection.send(again, **kwargs)
        answer.history = [*response.history, response]
        return answer


def _is_expired(response: requests.Response) -> bool:
    kind = response.headers.get("Content-Type", "")
    failure = read_api_failure(status=response.status_code, content_type=kind, body=response.content)
    return failure.kind == "expired"


def _rewind(request: requests.PreparedRequest) -> bool:
    """Makes the body ready to be sent again; False when it is a stream that is used up."""
    body: object = request.body  # the stubs know of no streams
    if isinstance(body, bytes | str | None):
        return True
    try:
        rewind_body(request)
    except UnrewindableBodyError:
        return False
    return True


def _readdress(request: requests.PreparedRequest, instance_url: str) -> None:
    own = urlsplit(instance_url)
    request.url = urlsplit(request.url or "")._replace(scheme=own.scheme, netloc=own.netloc).geturl()


class _Shared(BaseAdapter):
    """Whatever adapter the process shares at the moment of a request; a session's `close` leaves it open."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        return shared_adapter().send(request, *args, **kwargs)

    def close(self) -> None:
        pass


class Client(LeanSession):
    """A session on one connection.

    ``client.get("query", params=…)`` is relative to ``/services/data/vNN.N/``, ``client.get("/services/data/")``
    to the instance. An absolute URL is requested as it is; only the instance itself ever sees the token.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(_Shared())
        self.connection = connection
        self.auth = ConnectionAuth(connection)

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """As ``requests.Session.request``, with the package's ``TIMEOUTS`` unless another is given (seconds).

        Raises:
            ReconnectRequired, AccessBlocked, NotConnected: the connection cannot be used.
            ConfigurationError: the settings no longer trust the instance (code ``untrusted_host``).
            TemporarilyUnavailable: an expired token could not be renewed now, or the body could not be resent.
        """
        app = get_app(self.connection.app)
        text = url.decode() if isinstance(url, bytes) else url
        kwargs.setdefault("timeout", (app.timeouts.connect, app.timeouts.total))
        full_url = join_instance_url(self.connection.instance_url, text, app.api_version)
        try:
            return super().request(method, full_url, *args, **kwargs)
        except requests.RequestException as error:
            # Without the frames of the libraries, whose variables hold the token: reporters send them.
            raise error.with_traceback(None) from None


def simple_salesforce(connection: Connection) -> Salesforce:
    """See ``SalesforceConnection.simple_salesforce``."""
    try:
        from simple_salesforce import Salesforce
    except ImportError:
        raise ConfigurationError(
            'simple-salesforce is not installed: pip install "django-sf-oauth[simple-salesforce]"',
            code="missing_extra",
        ) from None
    return Salesforce(
        instance_url=connection.instance_url,
        session_id="set-per-request",  # its header is overridden by the session's auth
        session=Client(connection),
        version=get_app(connection.app).api_version,
    )
