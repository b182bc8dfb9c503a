"""The state of the fake Salesforce, and the rules by which it changes. Safe to use from many threads."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import count

from django_sf_oauth.protocol.identity import to_18

from . import mint
from .http import host_of
from .records import AccessToken, Approval, Code, ConnectedApp, Org, RefreshToken, User

MAX_APPROVALS = 5
CODE_LIFETIME = 15 * 60
SHARED_LOGIN_HOSTS = ("login.salesforce.com", "test.salesforce.com")


class World:
    """Everything that the fake knows.

    Args:
        clock: gives the time in epoch seconds.
        session_lifetime: seconds without a request after which an access token is dead.
    """

    def __init__(self, *, clock: Callable[[], float], session_lifetime: float) -> None:
        self.lock = threading.RLock()
        self.session_lifetime = session_lifetime
        self.origin: str | None = None
        self.apps: dict[str, ConnectedApp] = {}
        self.orgs: dict[str, Org] = {}
        self.users: dict[str, User] = {}
        self.approvals: list[Approval] = []
        self.codes: dict[str, Code] = {}
        self.access_tokens: dict[str, AccessToken] = {}
        self.refresh_tokens: dict[str, RefreshToken] = {}
        self._clock = clock
        self._advanced = 0.0
        self._in_flight: set[str] = set()
        self._numbers: defaultdict[str, Iterator[int]] = defaultdict(lambda: count(1))

    def now(self) -> float:
        return self._clock() + self._advanced

    def advance(self, seconds: float) -> None:
        with self.lock:
            self._advanced += seconds

    # Apps, orgs, users

    def add_app(self, app: ConnectedApp) -> ConnectedApp:
        with self.lock:
            return self.apps.setdefault(app.client_id, app)

    def add_org(self, *, name: str, my_domain: str, is_sandbox: bool = False) -> Org:
        with self.lock:
            org = Org(id=self._id("00D"), name=name, my_domain=my_domain, is_sandbox=is_sandbox)
            self.orgs[org.id] = org
            return org

    def add_user(self, *, username: str, name: str, org: Org, password: str) -> User:
        with self.lock:
            user = User(id=self._id("005"), username=username, name=name, org=org, password=password)
            self.users[username.lower()] = user
            return user

    def _id(self, prefix: str) -> str:
        return mint.record_id(prefix, next(self._numbers[prefix]))

    def new_account_id(self) -> str:
        with self.lock:
            return to_18(self._id("001"))

    # Hosts

    def hosts(self) -> set[str]:
        """Every host that the fake answers for; when it is served, its own origin alone."""
        if self.origin:
            return {host_of(self.origin)}
        with self.lock:
            return {*SHARED_LOGIN_HOSTS, *(host for org in self.orgs.values() for host in org.hosts)}

    def base_url(self, host: str) -> str:
        return self.origin or f"https://{host}"

    def login_host(self, org: Org) -> str:
        """Where a user of the org logs in unless told otherwise."""
        return host_of(self.origin) if self.origin else org.shared_login_host

    def serves(self, host: str, org: Org) -> bool:
        """Whether a user of the org may log in at the host."""
        return bool(self.origin) or host in {org.my_domain, org.shared_login_host}

    def is_instance(self, host: str, org: Org) -> bool:
        return bool(self.origin) or host == org.instance_host

    # Approvals

    def approve(self, *, app: ConnectedApp, user: User, scopes: tuple[str, ...], login_host: str) -> Approval:
        """Records a consent. Salesforce keeps five per user and app: the sixth revokes the oldest."""
        with self.lock:
            now = self.now()
            approval = Approval(
                app=app, user=user, scopes=scopes, login_host=login_host, granted_at=now, used_at=now
            )
            self.approvals.append(approval)
            for old in list(self.live_approvals(user=user, app=app))[:-MAX_APPROVALS]:
                old.revoked = True
            return approval

    def live_approvals(self, *, user: User | None = None, app: ConnectedApp | None = None) -> Iterator[Approval]:
        """The approvals that stand, oldest first."""
        for approval in self.approvals:
            if not approval.revoked and user in {None, approval.user} and app in {None, approval.app}:
                yield approval

    # Codes

    def new_code(self, code: Code) -> None:
        with self.lock:
            self.codes[code.value] = code

    # Access tokens

    def new_access_token(self, value: str, approval: Approval) -> AccessToken:
        with self.lock:
            now = self.now()
            token = AccessToken(
                value=value, approval=approval, issued_at=now, active_at=now, lifetime=self.session_lifetime
            )
            approval.used_at = now
            self.access_tokens[value] = token
            return token

    def live_access_token(self, value: str) -> AccessToken | None:
        """The session of a token, unless it is over."""
        with self.lock:
            token = self.access_tokens.get(value)
            return token if token and self._lives(token) else None

    def live_access_tokens(self, *, user: User | None = None) -> list[AccessToken]:
        with self.lock:
            return [
                token
                for token in self.access_tokens.values()
                if user in {None, token.approval.user} and self._lives(token)
            ]

    def _lives(self, token: AccessToken) -> bool:
        user = token.approval.user
        usable = user.active and user.org.active and not token.approval.revoked
        return usable and not token.ended and self.now() < token.expires_at

    # Refresh tokens

    def new_refresh_token(self, value: str, approval: Approval) -> RefreshToken:
        """Starts the approval's next generation; the ones before are rotated away."""
        with self.lock:
            for token in self.refresh_tokens.values():
                token.rotated = token.rotated or token.approval is approval
            token = RefreshToken(value=value, approval=approval, issued_at=self.now())
            self.refresh_tokens[value] = token
            return token

    def claim(self, refresh_token: str) -> bool:
        """Takes the token for one request: while that is in flight, Salesforce refuses any other."""
        with self.lock:
            if refresh_token in self._in_flight:
                return False
            self._in_flight.add(refresh_token)
            return True

    def release(self, refresh_token: str) -> None:
        with self.lock:
            self._in_flight.discard(refresh_token)
