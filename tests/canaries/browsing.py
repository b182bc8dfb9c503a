"""A browser whose every answer is looked through."""

from __future__ import annotations

from typing import Any

from django.test import Client

from .nets import Net
from .plants import KIND, traces

__all__ = ["Browser"]

CONTINUE = 'id="sf-oauth-continue"'
STATE = "CanaryState"


class Browser(Client):
    """Answers an error with Django's own page, as a server does."""

    def __init__(self, net: Net, user: Any) -> None:
        super().__init__(raise_request_exception=False)
        self.net = net
        self.force_login(user)

    def request(self, **request: Any) -> Any:
        response: Any = super().request(**request)
        if response.exc_info:
            self.net.see(response.exc_info[1])
        text = response.content.decode() + str(dict(response.headers)) + response.cookies.output()
        self.net.throw("page", _without_state(text) if CONTINUE in text else text)
        return response


def _without_state(page: str) -> str:
    """The page that leads to Salesforce carries the state there: it is what the page is for."""
    assert traces(page) == {"state"}
    return KIND.sub("", page)
