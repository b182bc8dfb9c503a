"""One exchange with the authorization host."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests
from django.views.decorators.debug import sensitive_variables
from oauthlib.oauth2 import OAuth2Token, WebApplicationClient
from requests.utils import default_headers
from requests_oauthlib import OAuth2Session
from urllib3 import Retry
from urllib3.exceptions import HTTPError, NewConnectionError

from django_sf_oauth.adapters import Exchange, LeanSession, PooledAdapter, shared_adapter, watch
from django_sf_oauth.protocol.errors import Refusal, transport_refusal

__all__ = ["Answer", "ExchangeSession"]

LARGEST_ANSWER = 256 * 1024  # bytes, decompressed; a token answer takes about two thousand
CHUNK = 8 * 1024
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_USUAL = dict(default_headers())

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A complete answer, whatever its status. The body may hold tokens.

    Attributes:
        retry_after: seconds, from the header; None when it is absent or cannot be read.
    """

    status: int
    content_type: str
    retry_after: float | None
    body: bytes = field(repr=False)


class _BodyBuilder(WebApplicationClient):
    """Builds the bodies of the requests and leaves the answers alone.

    oauthlib takes null and empty tokens for an answer, and raises a `Warning` that holds the tokens when the
    scope differs. The protocol reads them instead.
    """

    def parse_request_body_response(self, body: str, scope: object = None, **kwargs: Any) -> OAuth2Token:
        return OAuth2Token({})


class ExchangeSession(OAuth2Session, LeanSession):
    """Sends one request to one endpoint, and nothing anywhere else.

    No redirect is followed, no cookie kept, nothing sent twice, no scope compared.

    Args:
        endpoint: the URL, already trusted. All requests go there, wherever the library would send them.
        connect: seconds until the connection stands.
        deadline: of the whole exchange, by ``time.monotonic()``.
    """

    def __init__(self, *, client_id: str, endpoint: str, connect: float, deadline: float) -> None:
        self._forms = _BodyBuilder(client_id)
        super().__init__(client=self._forms, adapter=shared_adapter())
        self._endpoint = endpoint
        self._connect_timeout = connect
        self._exchange = Exchange(deadline=deadline)
        self._answer: Answer | Refusal | None = None

    @property
    def url(self) -> str:
        """The endpoint as requests-oauthlib wants to see it.

        That library refuses plain http unless a variable of the environment allows it for every host of the
        process. Here a host on loopback is trusted by name instead, before the session is made.
        """
        return "https://" + self._endpoint.partition("://")[2]

    @sensitive_variables()
    def run(self, ask: Callable[[ExchangeSession], object]) -> Answer | Refusal:
        """Lets `ask` make its request, and gives the answer to it or the reason why there is none."""
        try:
            ask(self)
        except Exception as error:
            # Whatever a library raises may hold the request. An answer that came before is not lost with it.
            return self._answer or self._fault(error)
        return self._answer or transport_refusal("connection")

    @sensitive_variables()
    def spend(self, refresh_token: str, *, headers: Mapping[str, str], **parameters: Any) -> None:
        """As ``refresh_token`` of the library, which takes the form that it has made to pieces again."""
        form = self._forms.prepare_refresh_body(refresh_token=refresh_token, **parameters)
        self._send_form("POST", form, headers)

    @sensitive_variables()
    def request(  # type: ignore[override]  # these, and no others, are what the operations set
        self, method: str, url: str, data: Any = None, headers: Any = None, **settings: Any
    ) -> requests.Response:
        """Sends a form, or nothing, and keeps the answer from the library, which would log it.

        The other settings that the library passes on are its defaults: an exchange has a deadline of its own.
        """
        self._send_form(method, urlencode(data) if data else None, headers or {})
        return _nothing_to_see()

    @sensitive_variables()
    def _send_form(self, method: str, form: str | None, headers: Mapping[str, str]) -> None:
        """As requests sends it, without a search for all else that it may be."""
        prepared: Any = requests.PreparedRequest()  # types-requests knows half of it
        prepared.method = method
        prepared.url = _prepared_url(self._endpoint)
        prepared.prepare_headers({**_USUAL, **headers, **(FORM if form else {})})
        prepared.body = form
        prepared.prepare_content_length(form)
        with watch(self._exchange):
            self._answer = self._ask(prepared)

    @sensitive_variables()
    def _ask(self, request: requests.PreparedRequest) -> Answer | Refusal:
        remaining = self._exchange.remaining
        if remaining <= 0:
            return transport_refusal("timeout")
        adapter = self.get_adapter(request.url or "")
        # Another adapter than ours cannot tell, so the worst is assumed of it.
        self._exchange.request_sent = not isinstance(adapter, PooledAdapter)
        around = self.merge_environment_settings(request.url, {}, True, None, None)
        timeout = (min(self._connect_timeout, remaining), remaining)
        with adapter.send(request, timeout=timeout, **around) as response:
            return _read(response)

    def _fault(self, error: Exception) -> Refusal:
        late = isinstance(error, requests.Timeout) or self._exchange.remaining <= 0
        reason = "timeout" if late else "connection"
        logger.warning("host=%s reason=%s cause=%s", urlsplit(self._endpoint).netloc, reason, type(error).__name__)
        return transport_refusal(reason, answer_lost=self._exchange.request_sent and not _never_connected(error))


@lru_cache(maxsize=1024)
def _prepared_url(endpoint: str) -> str | None:
    prepared = requests.PreparedRequest()
    prepared.prepare_url(endpoint, None)
    return prepared.url


@sensitive_variables()
def _read(response: requests.Response) -> Answer | Refusal:
    status = response.status_code
    if 300 <= status < 400:
        # RFC 9700 section 4.12: a redirected token request takes the secret and the refresh token with it.
        return transport_refusal("redirect", status=status, answer_lost=True)
    body = _body(response)
    if body is None:
        return transport_refusal("too_large", status=status, answer_lost=True)
    return Answer(
        status=status,
        content_type=response.headers.get("Content-Type", ""),
        retry_after=_seconds(response.headers.get("Retry-After")),
        body=body,
    )


@sensitive_variables()
def _body(response: requests.Response) -> bytes | None:
    body = bytearray()
    for chunk in response.iter_content(CHUNK):
        body += chunk
        if len(body) > LARGEST_ANSWER:
            return None
    return bytes(body)


def _seconds(retry_after: str | None) -> float | None:
    if retry_after is None:
        return None
    try:
        return float(Retry().parse_retry_after(retry_after))
    except (HTTPError, ValueError, OverflowError):
        return None


def _never_connected(error: Exception) -> bool:
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(error, requests.ConnectTimeout) or isinstance(reason, NewConnectionError)


def _nothing_to_see() -> requests.Response:
    response = requests.Response()
    response.request = requests.PreparedRequest()
    return response
