"""A browser without scripts: keeps a cookie, reads the hidden fields of a form, follows nothing by itself."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import urlencode

from django_sf_oauth.testing import FakeSalesforce
from django_sf_oauth.testing.http import Request, Response

HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


class Browser:
    def __init__(self, fake: FakeSalesforce, base: str = "https://login.salesforce.com") -> None:
        self.fake = fake
        self.base = base
        self.cookie = ""
        self.html = ""

    def get(self, path_or_url: str) -> Response:
        return self._send("GET", path_or_url, "")

    def submit(self, path: str, **fields: str) -> Response:
        """Submits a form of the page that is open, with its hidden fields."""
        first_of_each = dict(reversed([(name, unescape(value)) for name, value in HIDDEN.findall(self.html)]))
        return self._send("POST", path, urlencode({**first_of_each, **fields}))

    def _send(self, method: str, path_or_url: str, body: str) -> Response:
        url = path_or_url if path_or_url.startswith("http") else self.base + path_or_url
        answer = self.fake.handle(Request(method=method, url=url, headers={"cookie": self.cookie}, body=body))
        if set_cookie := answer.headers.get("Set-Cookie"):
            self.cookie = set_cookie.partition(";")[0]
        self.html = answer.body.decode()
        return answer

    def log_in(self, url: str, username: str, password: str) -> Response:
        """Opens the URL, logs in and goes where that leads."""
        self.get(url)
        answer = self.submit("/__fake__/login", username=username, password=password)
        return self.get(answer.headers["Location"])
