"""What the fake remembers: connected apps, orgs, users, approvals and the tokens issued under them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from django_sf_oauth.protocol.identity import to_18

Account = dict[str, str | int | None]


class Bar(StrEnum):
    """Why an admin keeps an app out of an org."""

    BLOCKED = "blocked"
    NOT_INSTALLED = "not_installed"
    NOT_APPROVED = "not_approved"


class Replay(StrEnum):
    """What the second use of a rotated refresh token does.

    Salesforce documents that it revokes the current refresh token and its access tokens (II). Field reports
    also show it merely refused (I), so a client has to survive both.
    """

    INVALID = "I"
    REVOKES_FAMILY = "II"


@dataclass(kw_only=True, slots=True, eq=False)
class ConnectedApp:
    """A connected app, or external client app.

    `secrets` are newest first: while a secret is being rotated, several are valid; none makes a public client.
    `redirect_uris` None accepts any. `refresh_idle` and `refresh_lifetime` are seconds, None is for ever.
    `bars` maps an 18-character org id, or "" for every org, to what keeps the app out.
    """

    client_id: str
    name: str = "Your Django site"
    secrets: list[str] = field(default_factory=list, repr=False)
    redirect_uris: Sequence[str] | None = None
    scopes: Sequence[str] = ()
    secret_required: bool = True
    pkce_required: bool = False
    rotation: bool = True
    replay: Replay = Replay.REVOKES_FAMILY
    refresh_idle: float | None = None
    refresh_lifetime: float | None = None
    bars: dict[str, Bar] = field(default_factory=dict)

    def bar_in(self, org: Org) -> Bar | None:
        return self.bars.get("") or self.bars.get(org.id)


@dataclass(kw_only=True, slots=True, eq=False)
class Org:
    """An org. `my_domain` is its login host and, until it is moved, the host of its API."""

    id: str
    name: str
    my_domain: str
    is_sandbox: bool = False
    active: bool = True
    ip_restricted: bool = False
    instance_name: str = "USA582"
    instance_host: str = ""
    former_hosts: set[str] = field(default_factory=set)
    accounts: list[Account] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.id = to_18(self.id)
        self.instance_host = self.instance_host or self.my_domain

    @property
    def hosts(self) -> set[str]:
        return {self.my_domain, self.instance_host, *self.former_hosts}

    @property
    def shared_login_host(self) -> str:
        return "test.salesforce.com" if self.is_sandbox else "login.salesforce.com"


@dataclass(kw_only=True, slots=True, eq=False)
class User:
    """A Salesforce user of one org."""

    id: str
    username: str
    name: str
    org: Org
    email: str = ""
    password: str = field(default="", repr=False)
    active: bool = True

    def __post_init__(self) -> None:
        self.id = to_18(self.id)
        self.email = self.email or self.username


@dataclass(kw_only=True, slots=True, eq=False)
class RefreshToken:
    """One generation of an approval's refresh token. Times are epoch seconds."""

    value: str = field(repr=False)
    approval: Approval
    issued_at: float
    rotated: bool = False


@dataclass(kw_only=True, slots=True, eq=False)
class AccessToken:
    """A session. Its life is an idle timeout of `lifetime` seconds; times are epoch seconds."""

    value: str = field(repr=False)
    approval: Approval
    issued_at: float
    active_at: float
    lifetime: float
    ended: bool = False

    @property
    def expires_at(self) -> float:
        return self.active_at + self.lifetime

    def touch(self, now: float) -> None:
        # Salesforce moves the stamp only when half of the timeout has passed since the last time.
        if now - self.active_at > self.lifetime / 2:
            self.active_at = now


@dataclass(kw_only=True, slots=True, eq=False)
class Approval:
    """A user's consent to an app, one family of refresh tokens. Refresh and revoke belong on `login_host`."""

    app: ConnectedApp
    user: User
    scopes: tuple[str, ...]
    login_host: str
    granted_at: float
    used_at: float
    revoked: bool = False


@dataclass(kw_only=True, slots=True, eq=False)
class Code:
    """An authorization code, good for one exchange within fifteen minutes."""

    value: str = field(repr=False)
    approval: Approval
    redirect_uri: str
    issued_at: float
    challenge: str | None = field(default=None, repr=False)
    nonce: str | None = field(default=None, repr=False)
    used: bool = False
