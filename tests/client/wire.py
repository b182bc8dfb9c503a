"""A wire that answers from a script, and a connection without a database."""

from __future__ import annotations

import io
from typing import Any

import requests
from requests.adapters import BaseAdapter
from requests.models import PreparedRequest

from django_sf_oauth.client import Client

__all__ = ["EXPIRED", "INSTANCE", "OK", "QUERY", "Held", "Wire", "client_of"]

EXPIRED = (401, '[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]')
OK = (200, "{}")
INSTANCE = "https://acme.my.salesforce.com"
QUERY = {"q": "SELECT Id FROM Account"}


class Wire(BaseAdapter):
    """Answers API requests from a script, and remembers what was sent where."""

    def __init__(self, *answers: tuple[int, str] | tuple[int, str, dict[str, str]]) -> None:
        super().__init__()
        self.answers = list(answers)
        self.urls: list[str] = []
        self.tokens: list[str | None] = []
        self.bodies: list[Any] = []
        self.timeouts: list[Any] = []
        self.sent: list[PreparedRequest] = []
        self.settings: list[dict[str, Any]] = []
        self.closed = False

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        body: Any = request.body
        self.sent.append(request)
        self.settings.append(kwargs)
        self.urls.append(request.url or "")
        self.tokens.append(request.headers.get("Authorization"))
        self.bodies.append(
            b"".join(body) if hasattr(body, "__iter__") and not isinstance(body, str | bytes) else body
        )
        self.timeouts.append(kwargs.get("timeout"))
        status, text, *headers = self.answers.pop(0)
        response = requests.Response()
        response.status_code = status
        response.raw = io.BytesIO(text.encode())
        response.headers.update({"Content-Type": "application/json", **(headers[0] if headers else {})})
        response.request, response.url = request, request.url or ""
        response.connection = self  # type: ignore[assignment]  # the stubs know of one adapter
        return response

    def close(self) -> None:
        self.closed = True


class Held:
    """A connection that renews itself without a database."""

    def __init__(self, instance_url: str = INSTANCE, moves_to: str = "") -> None:
        self.app = "default"
        self.generation = 1
        self.instance_url = instance_url
        self.moves_to = moves_to or instance_url
        self.refused: list[int] = []

    def bearer(self) -> str:
        return f"token-{self.generation}"

    def renew(self, refused_generation: int, *, forced: bool = False) -> bool:
        self.refused.append(refused_generation)
        if refused_generation == self.generation:
            self.generation += 1
            self.instance_url = self.moves_to
        return True


def client_of(held: Held) -> Client:
    return Client(held)
