"""What can go wrong with a token request, happen beside it, or change around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django_sf_oauth.testing.faults import AnswerLost
from django_sf_oauth.testing.http import HTML, JSON, Response

from .wire import MAINTENANCE, Crash, Moment

__all__ = ["BELIEVED_AFTER", "CHANGES", "DATABASE_DOWN", "MEANWHILE", "RIDDLE", "TROUBLES", "Trouble"]

RIDDLE = Response(
    status=400,
    headers={"Content-Type": JSON},
    body=b'{"error": "invalid_grant", "error_description": "authentication failure"}',
)
BELIEVED_AFTER = 5  # riddles in a row


def die() -> Response:
    raise Crash


def lose() -> Response:
    raise AnswerLost


def answer(status: int) -> Callable[[], Response]:
    """Some page instead of Salesforce's answer."""
    return lambda: Response(status=status, headers={"Content-Type": HTML}, body=b"<h1>Welcome</h1>")


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Something that goes wrong with one token request.

    `doubt` is whether the site cannot tell if the token was spent; `loses`, whether Salesforce then gave a new one
    that nobody got; `leased`, whether the lease stays behind.
    """

    moment: Moment
    act: Callable[[], Response]
    doubt: bool = False
    loses: bool = False
    leased: bool = False


TROUBLES = {
    "dies before it asks": Trouble(moment="sent", act=die, doubt=True, leased=True),
    "dies before it stores": Trouble(moment="answered", act=die, doubt=True, loses=True, leased=True),
    "the answer is lost": Trouble(moment="answered", act=lose, doubt=True, loses=True),
    "the request is lost": Trouble(moment="sent", act=lose, doubt=True),
    "maintenance": Trouble(moment="sent", act=lambda: MAINTENANCE, doubt=True),
    "captive portal": Trouble(moment="sent", act=answer(200), doubt=True),
    "a proxy replaces the answer": Trouble(moment="answered", act=answer(502), doubt=True, loses=True),
    "too many requests": Trouble(moment="sent", act=answer(429)),
}
DATABASE_DOWN = Trouble(moment="answered", act=die, doubt=True, loses=True, leased=True)
"""Nobody plans it at Salesforce: this is what it leaves behind."""

MEANWHILE = (
    "another process asks",
    "the lease ends",
    "the lease ends and another process asks",
    "disconnect",
    "reconnect",
    "revoked at Salesforce",
)
CHANGES = (
    "rotation: ",
    "rotation: I",
    "rotation: II",
    "blocked: blocked",
    "blocked: not_installed",
    "blocked: not_approved",
    "addresses restricted",
    "user deactivated",
    "revoked",
    "org moves",
    "revocation fails",
    "stop: ",
    "stop: org:",
    "secret: rotated",
    "secret: rotated, untold",
    "secret: rotated abruptly, untold",
    *["obstacles go"] * 6,
)
