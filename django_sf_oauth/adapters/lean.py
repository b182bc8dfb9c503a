"""A ``requests.Session`` that does for a call only what the call needs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, cast

import requests
from requests import cookies, sessions
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

__all__ = ["LeanSession"]

# types-requests leaves these out.
_merge_cookies: Any = cookies.merge_cookies
_merge_hooks: Any = sessions.merge_hooks
_merge_setting: Any = sessions.merge_setting


class _OwnCookies(cookies.RequestsCookieJar):
    """Takes no cookie from an answer.

    The API needs none, and those that Salesforce sets for all of its domain would go on to other orgs.
    """

    def extract_cookies(self, response: Any, request: Any) -> None:
        pass


class LeanSession(requests.Session):
    """A session on one adapter, about a fifth faster than its base.

    It differs in this: a cookie of an answer is with that answer alone, ``.netrc`` is never read, and what the
    environment says of proxies and certificates is asked once for each host.
    """

    def __init__(self, adapter: BaseAdapter) -> None:
        super().__init__()
        self.cookies = _OwnCookies()
        self.mount("https://", adapter)
        self.mount("http://", adapter)
        self._environment: dict[Hashable, Mapping[str, Any]] = {}

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """As requests does it, but nothing is merged with nothing, and ``.netrc`` not looked into."""
        prepared: Any = requests.PreparedRequest()  # types-requests knows half of it
        prepared.prepare_method(request.method)
        prepared.prepare_url(request.url, self._params_of(request))
        prepared.prepare_headers(self._headers_of(request))
        prepared._cookies = cookies.RequestsCookieJar()  # a redirect adds to it
        if request.cookies or self.cookies:
            jar = _merge_cookies(prepared._cookies, self.cookies)
            prepared.prepare_cookies(_merge_cookies(jar, request.cookies or {}))
        prepared.prepare_body(request.data, request.files, request.json)
        prepared.prepare_auth(_merge_setting(request.auth, self.auth), request.url)
        prepared.prepare_hooks(_merge_hooks(request.hooks, self.hooks))
        return cast("requests.PreparedRequest", prepared)

    def _params_of(self, request: requests.Request) -> Any:
        return _merge_setting(request.params, self.params) if self.params else request.params

    def _headers_of(self, request: requests.Request) -> Mapping[str, Any]:
        headers: Mapping[str, Any] = self.headers
        if request.headers:
            headers = _merge_setting(request.headers, headers, CaseInsensitiveDict)
        return {name: value for name, value in headers.items() if value is not None}

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """As requests does it, but without a search of all variables for each call to one host."""
        if proxies or cert:
            return super().merge_environment_settings(url, proxies, stream, verify, cert)
        own = (self.trust_env, self.stream, self.verify, self.cert, *self.proxies.items())
        key = (*url.split("/", 3)[:3], stream, verify, own)
        if key not in self._environment:
            self._environment[key] = super().merge_environment_settings(url, proxies, stream, verify, cert)
        found = self._environment[key]
        return {**found, "proxies": {**found["proxies"]}}

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """On a redirect: takes the token off where it may not go, and puts nothing of ``.netrc`` in its place."""
        strips: Any = self.should_strip_auth
        if strips(response.request.url, prepared_request.url):
            prepared_request.headers.pop("Authorization", None)
