"""FakeSalesforce: Salesforce's OAuth and a little of its REST API, in this process or on a local port."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from django_sf_oauth.adapters import use_adapter
from django_sf_oauth.grants.breaker import failures

from .adapter import FakeAdapter, ForeignHost
from .authorize import Asked, Authorization, Callback, NoCallback
from .controls import SCOPES, Controls
from .faults import AnswerLost, Faults
from .http import Request, Response
from .journal import Exchange, Journal
from .oauth import TokenEndpoints
from .pages import maintenance
from .quiet import hush, serving
from .records import ConnectedApp, Replay, User
from .routes import Routes
from .trouble import Trouble
from .world import World

CLIENT_ID = "3MVG9.fake.client"
CLIENT_SECRET = "F4K3C0N5UM3R53CR3TF4K3C0N5UM3R53CR3TF4K3C0N5UM3R53CR3TF4K3C0N5UM"  # noqa: S105  # a made-up one


class FakeSalesforce(Controls, Trouble):
    """A Salesforce for tests and for a demo, with one org, one user and one connected app to begin with.

    It keeps the rules that trip real integrations: no `expires_in`; refresh tokens that rotate, and whose
    replay ends everything; one request in flight per refresh token; five approvals per user and app.

    Args:
        client_id: the consumer key of the first app.
        client_secret: its consumer secret; several, newest first; None for a public client.
        redirect_uris: the callbacks, to be matched exactly; None accepts any.
        scopes: what the app may ask for.
        rotation: whether refresh tokens rotate.
        replay: what the second use of a rotated token does, see `Replay`.
        session_lifetime: seconds of idleness after which an access token is dead.
        clock: gives the time in epoch seconds; `advance` adds to it.
        sleep: waits so many seconds, for `delay` and for dripping answers.
    """

    def __init__(
        self,
        *,
        client_id: str = CLIENT_ID,
        client_secret: str | Sequence[str] | None = CLIENT_SECRET,
        redirect_uris: Sequence[str] | None = None,
        scopes: Sequence[str] = SCOPES,
        rotation: bool = True,
        replay: Replay | str = Replay.REVOKES_FAMILY,
        session_lifetime: float = 7200.0,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        hush()
        self.world = World(clock=clock, session_lifetime=session_lifetime)
        self.faults = Faults(sleep=sleep)
        self.journal = Journal()
        self.endpoints = TokenEndpoints(self.world, pause=self.faults.pause)
        self.authorization = Authorization(self.world, self.endpoints.server)
        self.routes = Routes(self)
        self.add_app(
            client_id,
            client_secret,
            redirect_uris=redirect_uris,
            scopes=scopes,
            rotation=rotation,
            replay=replay,
        )
        org = self.add_org("Acme Outdoor", my_domain="acme-outdoor.my.salesforce.com")
        self.add_user("avery.morgan@acme-outdoor.example", name="Avery Morgan", org=org)

    # Serving

    def handle(self, request: Request) -> Response:
        """Answers a request.

        Raises:
            ForeignHost: the host is none of the fake's.
            AnswerLost: the request was processed, and its answer is to be lost on the way.
        """
        try:
            if request.host not in self.world.hosts():
                raise ForeignHost(request.host)
            with serving():
                response = self._answer(request)
        except (AnswerLost, ForeignHost) as error:
            self._record(request, "lost" if isinstance(error, AnswerLost) else "foreign_host")
            raise
        self._record(request, _outcome(response), response.detail)
        return response

    def _answer(self, request: Request) -> Response:
        surface, endpoint = self.routes.find(request)
        if surface is None:
            return endpoint(request)
        if planned := self.faults.take(surface):
            return planned
        if self.maintenance:
            return maintenance()
        response = endpoint(request)
        self.faults.lose(surface)
        return response

    def _record(self, request: Request, outcome: str, detail: str = "") -> None:
        self.journal.add(
            Exchange(
                at=self.world.now(),
                method=request.method,
                host=request.host,
                path=request.path,
                grant_type=request.form.get("grant_type", ""),
                outcome=outcome,
                detail=detail,
            )
        )

    @contextmanager
    def active(self) -> Iterator[FakeSalesforce]:
        """Inside, every request of django_sf_oauth comes here, whatever thread it is made in."""
        failures.start_over()  # those of an earlier test opened no breaker, and must not help to open one now
        with use_adapter(self.adapter()):
            yield self

    def adapter(self) -> FakeAdapter:
        """An adapter to mount on a `requests.Session` of one's own."""
        return FakeAdapter(self)

    # Consent and tokens without a browser

    def authorize(self, url: str, *, username: str | None = None, allow: bool = True) -> str:
        """Follows a site's authorization URL as a user would, the first user unless one is named.

        Returns:
            The callback URL, with a code or with an error.

        Raises:
            NoCallback: the error stays on Salesforce's own page.
        """
        with serving():
            asked = self.authorization.read(Request(method="GET", url=url))
            if isinstance(asked, Callback):
                return asked.location
            if not isinstance(asked, Asked):
                raise NoCallback(asked.said.error, asked.said.description)
            user = self.world.users[username.lower()] if username else self.user
            decided = self.authorization.allow(asked, user) if allow else self.authorization.deny(asked)
            return decided.location

    def issue(
        self,
        user: User | None = None,
        app: ConnectedApp | None = None,
        scopes: Sequence[str] = ("api", "refresh_token", "openid"),
        *,
        login_host: str | None = None,
    ) -> dict[str, str]:
        """Grants tokens directly, to the first user and app unless others are given.

        Args:
            login_host: where the user consented; a refresh elsewhere is refused. By default ``login.`` or
                ``test.salesforce.com``, or the fake's own origin when it is served.

        Returns:
            What the token endpoint would have answered: `access_token`, `refresh_token` with the scope for it,
            `instance_url`, `id`, `issued_at` (milliseconds as text), `signature`, `scope`, `token_type`.
        """
        user = user or self.user
        with serving(), self.world.lock:
            approval = self.world.approve(
                app=app or self.app,
                user=user,
                scopes=tuple(scopes),
                login_host=login_host or self.world.login_host(user.org),
            )
            return self.endpoints.issue(approval)

    # What happened

    @property
    def requests(self) -> list[Exchange]:
        """Every request, oldest first, without any secret."""
        return list(self.journal)

    @property
    def token_requests(self) -> int:
        """How many requests reached the token endpoint."""
        return len(self.journal.token_requests())


def _outcome(response: Response) -> str:
    return response.error or ("ok" if response.status < 400 else f"HTTP {response.status}")
