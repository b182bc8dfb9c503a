"""A fake Salesforce that notes each use of a refresh token, and lets things happen while it is on its way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from django_sf_oauth.conf import AppSettings
from django_sf_oauth.testing import FakeSalesforce
from django_sf_oauth.testing.http import HTML, Request, Response
from django_sf_oauth.testing.refusals import DEAD_TOKEN, IN_PROCESS

__all__ = ["MAINTENANCE", "Act", "Crash", "Moment", "Spend", "WatchedSalesforce"]

MAINTENANCE = Response(status=503, headers={"Content-Type": HTML}, body=b"<h1>We are down</h1>")

Moment = Literal["sent", "in_flight", "answered"]
"""Before Salesforce sees the request; while it has it; after it has done its work and before we hear of it."""

Act = Callable[[], Response | None]
"""What happens then; a `Response` comes instead of Salesforce's own."""


class Crash(BaseException):
    """The process dies here: nothing of ours catches it, and what is not committed is gone."""


@dataclass(kw_only=True)
class Spend:
    """One request with a refresh token. `rotated` is whether that had been rotated away when it arrived."""

    token: str
    rotated: bool
    said: str = "nothing"

    @property
    def is_replay(self) -> bool:
        """Whether Salesforce looked at a token that it had rotated away."""
        return self.rotated and self.said == DEAD_TOKEN.description

    @property
    def is_collision(self) -> bool:
        """Whether Salesforce was busy with another request for the same token."""
        return self.said == IN_PROCESS.description


class WatchedSalesforce(FakeSalesforce):
    """A Salesforce under observation.

    Attributes:
        spends: every request with a refresh token, oldest first.
        revokes: whether its revocation endpoint works.
    """

    def __init__(self, app: AppSettings) -> None:
        super().__init__(client_id=app.client_id, client_secret=app.client_secrets, sleep=lambda _: self._pause())
        self.delay = 1.0  # so that `sleep` is called while the request is in flight
        self.spends: list[Spend] = []
        self.revokes = True
        self._planned: dict[Moment, Act] = {}

    def at(self, moment: Moment, act: Act) -> None:
        """Does it once, on the thread that asks, when the next refresh has come that far."""
        self._planned[moment] = act

    def let_be(self) -> None:
        """Forgets what was planned and did not come to pass."""
        self._planned.clear()

    def handle(self, request: Request) -> Response:
        if request.path.endswith("/revoke") and not self.revokes:
            return MAINTENANCE
        token = request.form.get("refresh_token", "")
        if not token:
            return super().handle(request)
        spend = Spend(token=token, rotated=self.world.refresh_tokens[token].rotated)
        self.spends.append(spend)
        answer = self._now("sent") or super().handle(request)
        spend.said = answer.detail
        return self._now("answered") or answer

    def _pause(self) -> None:
        self._now("in_flight")

    def _now(self, moment: Moment) -> Response | None:
        return self._planned.pop(moment, lambda: None)()
