"""The control panel: what can happen to a connection, one press each. It shows no token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from .browsers import Browsers
from .http import Request, Response, redirect
from .journal import Exchange
from .pages import expired_form, page
from .records import User

if TYPE_CHECKING:
    from .fake import FakeSalesforce

PANEL_PATH = "/__panel__"
SLOW_SECONDS = 3.0
SHOWN = 25


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """What a button does, and the sentence that the panel then shows."""

    run: Callable[[FakeSalesforce, User | None], object]
    done: str


def _toggle_rotation(fake: FakeSalesforce, user: User | None) -> None:
    fake.rotation = not fake.rotation


def _toggle_slow(fake: FakeSalesforce, user: User | None) -> None:
    fake.delay = 0.0 if fake.delay else SLOW_SECONDS


def _toggle_maintenance(fake: FakeSalesforce, user: User | None) -> None:
    fake.maintenance = not fake.maintenance


def _toggle_block(fake: FakeSalesforce, user: User | None) -> None:
    if fake.app.bars:
        fake.unblock_app()
    else:
        fake.block_app()


def _toggle_ip(fake: FakeSalesforce, user: User | None) -> None:
    restricted = any(org.ip_restricted for org in fake.world.orgs.values())
    for org in fake.world.orgs.values():
        fake.restrict_ip(org, restricted=not restricted)


def _toggle_user(fake: FakeSalesforce, user: User | None) -> None:
    if user is not None:
        user.active = not user.active


def _move_orgs(fake: FakeSalesforce, user: User | None) -> None:
    for org in fake.world.orgs.values():
        fake.move_instance(org)


ACTIONS: Mapping[str, Action] = {
    "expire": Action(
        run=lambda fake, user: fake.expire_access_tokens(user),
        done="Access tokens ended. The next call should refresh, and nobody should notice.",
    ),
    "revoke": Action(
        run=lambda fake, user: fake.revoke(user),
        done="Approvals revoked. The next call should end in “Reconnect”.",
    ),
    "rotation": Action(run=_toggle_rotation, done="Rotation of refresh tokens switched."),
    "slow": Action(run=_toggle_slow, done="Speed of the token endpoint switched."),
    "lose": Action(
        run=lambda fake, user: fake.lose_answer(),
        done="The next token request will be processed, and its answer lost.",
    ),
    "fail": Action(
        run=lambda fake, user: fake.fail_next(status=503, body="<h1>Service Unavailable</h1>"),
        done="The next token request will get a 503.",
    ),
    "maintenance": Action(run=_toggle_maintenance, done="Maintenance switched."),
    "block": Action(run=_toggle_block, done="Block of the app switched."),
    "ip": Action(run=_toggle_ip, done="The IP restriction switched."),
    "move": Action(run=_move_orgs, done="Orgs moved; their sessions ended."),
    "user": Action(run=_toggle_user, done="User switched."),
}


class Panel:
    """The page at ``/__panel__/`` and its buttons, each named ``action`` or ``action:username``."""

    def __init__(self, fake: FakeSalesforce, browsers: Browsers) -> None:
        self.fake = fake
        self.browsers = browsers

    def handle(self, request: Request) -> Response:
        return self._act(request) if request.method == "POST" else self._show(request)

    def _act(self, request: Request) -> Response:
        name, _, username = request.form.get("do", "").partition(":")
        if not self.browsers.of(request).sent(request) or name not in ACTIONS:
            return expired_form()
        ACTIONS[name].run(self.fake, self.fake.world.users.get(username))
        return redirect(f"{PANEL_PATH}/?done={name}", status=303)

    def _show(self, request: Request) -> Response:
        browser = self.browsers.of(request)
        done = ACTIONS.get(request.query.get("done", ""))
        context = {"csrf_token": browser.csrf_token, "done": done and done.done, **_state(self.fake)}
        return page("panel.html", context, set_cookie=browser.set_cookie)


def _state(fake: FakeSalesforce) -> dict[str, Any]:
    world = fake.world
    with world.lock:
        return {
            "app": fake.app,
            "origin": world.origin or "in this process",
            "token_requests": fake.token_requests,
            "sessions": len(world.live_access_tokens()),
            "approvals": len(list(world.live_approvals())),
            "users": [_user_row(fake, user) for user in world.users.values()],
            "requests": [_request_row(entry) for entry in islice(reversed(fake.journal.token_requests()), SHOWN)],
            "rotation": fake.rotation,
            "slow": fake.delay > 0,
            "maintenance": fake.maintenance,
            "blocked": bool(fake.app.bars),
            "ip_restricted": any(org.ip_restricted for org in world.orgs.values()),
        }


def _user_row(fake: FakeSalesforce, user: User) -> dict[str, Any]:
    return {
        "user": user,
        "sessions": len(fake.world.live_access_tokens(user=user)),
        "approvals": len(list(fake.world.live_approvals(user=user))),
    }


def _request_row(exchange: Exchange) -> dict[str, Any]:
    at = datetime.fromtimestamp(exchange.at, UTC)
    return {"exchange": exchange, "time": f"{at:%H:%M:%S}", "iso": at.isoformat(timespec="seconds")}
