"""A ``requests.Session`` that does for a call only what the call needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import requests
from requests import cookies, hooks, sessions, utils
from requests.adapters import BaseAdapter

from .environment import said_by_environment

__all__ = ["LeanSession"]

# types-requests leaves these out.
_merge_cookies: Any = cookies.merge_cookies
_merge_hooks: Any = sessions.merge_hooks
_merge_setting: Any = sessions.merge_setting
_default_hooks: Any = hooks.default_hooks

_NEW = vars(requests.Session())


class _OwnCookies(cookies.RequestsCookieJar):
    """Takes no cookie from an answer.

    The API needs none, and those that Salesforce sets for all of its domain would go on to other orgs.
    """

    def extract_cookies(self, response: Any, request: Any) -> None:
        pass


class LeanSession(requests.Session):
    """A session on one adapter, about a fifth faster than its base.

    It differs in this: a cookie of an answer is with that answer alone, ``.netrc`` is never read, and what the
    environment says of proxies and certificates is asked once for each host, until a variable changes.
    """

    def __init__(self, adapter: BaseAdapter) -> None:
        # As requests does it, but for the two adapters that it would make only to be replaced.
        vars(self).update(
            _NEW,
            headers=utils.default_headers(),
            hooks=_default_hooks(),
            params={},
            proxies={},
            cookies=_OwnCookies(),
            adapters={"https://": adapter, "http://": adapter},
        )

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """As requests does it, but nothing is merged with nothing, and ``.netrc`` not looked into."""
        prepared: Any = requests.PreparedRequest()  # types-requests knows half of it
        prepared.prepare_method(request.method)
        params = _merge_setting(request.params, self.params) if self.params else request.params
        prepared.prepare_url(request.url, params or None)
        prepared.prepare_headers(self._headers_of(request))
        prepared._cookies = cookies.RequestsCookieJar()  # a redirect adds to it
        if request.cookies or self.cookies:
            jar = _merge_cookies(prepared._cookies, self.cookies)
            prepared.prepare_cookies(_merge_cookies(jar, request.cookies or {}))
        prepared.prepare_body(request.data, request.files, request.json)
        prepared.prepare_auth(_merge_setting(request.auth, self.auth), request.url)
        prepared.prepare_hooks(_merge_hooks(request.hooks, self.hooks))
        return cast("requests.PreparedRequest", prepared)

    def _headers_of(self, request: requests.Request) -> Mapping[str, Any]:
        merged: dict[Any, tuple[Any, Any]] = {}
        for name, value in (*self.headers.items(), *dict(request.headers).items()):
            merged[name.lower()] = (name, value)
        return {name: value for name, value in merged.values() if value is not None}

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """As requests does it, but without a search of all variables for each call to one host."""
        merge = super().merge_environment_settings
        if proxies or cert:
            return merge(url, proxies, stream, verify, cert)
        own = (self.trust_env, self.stream, self.verify, self.cert, *self.proxies.items())
        found = said_by_environment(
            (*url.split("/", 3)[:3], stream, verify, own), lambda: merge(url, proxies, stream, verify, cert)
        )
        return {**found, "proxies": {**found["proxies"]}}

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """On a redirect: takes the token off where it may not go, and puts nothing of ``.netrc`` in its place."""
        strips: Any = self.should_strip_auth
        if strips(response.request.url, prepared_request.url):
            prepared_request.headers.pop("Authorization", None)
