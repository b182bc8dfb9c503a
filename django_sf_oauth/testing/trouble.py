"""The trouble that a test can ask for."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from .faults import Faults, Held, Surface
from .http import HTML, Response


class Trouble:
    """What goes wrong, said in one call each."""

    faults: Faults

    def fail_next(
        self,
        *,
        status: int = 503,
        body: str | bytes = "",
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        times: int = 1,
        where: Surface = "token",
        drip: float = 0.0,
    ) -> None:
        """Answers the next requests with this instead, unprocessed.

        Args:
            content_type: HTML if not given, as a proxy in trouble sends.
            headers: such as ``Retry-After`` or ``Location``.
            where: token, revoke, introspect, userinfo, identity, discovery, authorize or api.
            drip: seconds before each byte of the body.
        """
        answer = Response(
            status=status,
            headers={"Content-Type": content_type or HTML, **(headers or {})},
            body=body.encode() if isinstance(body, str) else body,
            pause=drip,
        )
        self.faults.plan(where, answer, times=times)

    def lose_answer(self, times: int = 1) -> None:
        """Processes the next token requests, and drops the connection instead of answering."""
        self.faults.plan_loss(times)

    def hold(self) -> AbstractContextManager[Held]:
        """Holds the token endpoint: ``with fake.hold() as held:`` requests arrive and wait.

        `held.wait_for(count)` returns when so many have arrived, `held.release()` lets them go on.
        """
        return self.faults.hold()

    @property
    def delay(self) -> float:
        """Seconds that each token request takes, all of it with the refresh token in flight."""
        return self.faults.delay

    @delay.setter
    def delay(self, seconds: float) -> None:
        self.faults.delay = seconds

    @property
    def maintenance(self) -> bool:
        """Whether every endpoint answers 503 with a page, as in Salesforce's maintenance windows."""
        return self.faults.maintenance

    @maintenance.setter
    def maintenance(self, on: bool) -> None:
        self.faults.maintenance = on
