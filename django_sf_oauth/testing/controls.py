"""What a test, or the control panel, can do to the fake's world."""

from __future__ import annotations

from collections.abc import Sequence

from .accounts import sample_accounts
from .records import Bar, ConnectedApp, Org, Replay, User
from .world import World

PASSWORD = "correct-horse"  # noqa: S105  # shown on the fake's own login page
SCOPES = ("api", "refresh_token", "openid", "id", "profile", "email", "web", "full")


class Controls:
    """The knobs. Where a user, org or app may be left out, it is all users, or the first org or app."""

    world: World

    # What there is

    @property
    def app(self) -> ConnectedApp:
        """The first connected app."""
        return next(iter(self.world.apps.values()))

    @property
    def org(self) -> Org:
        """The first org."""
        return next(iter(self.world.orgs.values()))

    @property
    def user(self) -> User:
        """The first user."""
        return next(iter(self.world.users.values()))

    def add_app(
        self,
        client_id: str,
        client_secret: str | Sequence[str] | None,
        *,
        name: str = "Your Django site",
        redirect_uris: Sequence[str] | None = None,
        scopes: Sequence[str] = SCOPES,
        rotation: bool = True,
        replay: Replay | str = Replay.REVOKES_FAMILY,
    ) -> ConnectedApp:
        """Registers a connected app.

        Args:
            client_secret: the consumer secret, several newest first, or None for a public client.
            redirect_uris: the callbacks, to be matched exactly; None accepts any.
        """
        secrets = [client_secret] if isinstance(client_secret, str) else list(client_secret or ())
        return self.world.add_app(
            ConnectedApp(
                client_id=client_id,
                name=name,
                secrets=secrets,
                redirect_uris=redirect_uris,
                scopes=scopes,
                rotation=rotation,
                replay=Replay(replay),
            )
        )

    def add_org(self, name: str, *, my_domain: str, is_sandbox: bool = False) -> Org:
        """Makes an org with a dozen accounts. `my_domain` is a host, as ``acme.my.salesforce.com``."""
        org = self.world.add_org(name=name, my_domain=my_domain, is_sandbox=is_sandbox)
        org.accounts.extend({"Id": self.world.new_account_id(), **row} for row in sample_accounts())
        return org

    def add_user(
        self, username: str, *, name: str = "Robin Ashford", org: Org | None = None, password: str = PASSWORD
    ) -> User:
        return self.world.add_user(username=username, name=name, org=org or self.org, password=password)

    # Time

    def advance(self, seconds: float) -> None:
        """Moves the fake's clock forward."""
        self.world.advance(seconds)

    # Tokens

    def expire_access_tokens(self, user: User | None = None) -> int:
        """Ends the sessions, as an idle timeout does; the refresh tokens stay good. Returns how many ended."""
        with self.world.lock:
            tokens = self.world.live_access_tokens(user=user)
            for token in tokens:
                token.ended = True
            return len(tokens)

    def revoke(self, user: User | None = None) -> int:
        """Revokes approvals with all their tokens, as a user does in their settings. Returns how many."""
        with self.world.lock:
            approvals = list(self.world.live_approvals(user=user))
            for approval in approvals:
                approval.revoked = True
            return len(approvals)

    # Policies and admins

    @property
    def rotation(self) -> bool:
        """Whether each refresh brings a new refresh token and ends the old. Setting it sets it for every app."""
        return self.app.rotation

    @rotation.setter
    def rotation(self, on: bool) -> None:
        for app in self.world.apps.values():
            app.rotation = on

    @property
    def replay(self) -> Replay:
        """What the second use of a rotated token does: "I" merely refuses it, "II" kills its whole family."""
        return self.app.replay

    @replay.setter
    def replay(self, policy: Replay | str) -> None:
        for app in self.world.apps.values():
            app.replay = Replay(policy)

    def rotate_secret(self, new: str, *, app: ConnectedApp | None = None, keep_old: bool = True) -> None:
        """Adds a consumer secret. Without `keep_old` the former ones are wrong from now on."""
        app = app or self.app
        with self.world.lock:
            app.secrets[:] = [new, *app.secrets] if keep_old else [new]

    def block_app(
        self, reason: Bar | str = Bar.BLOCKED, *, app: ConnectedApp | None = None, org: Org | None = None
    ) -> None:
        """Keeps the app out of one org, or of all: ``blocked``, ``not_installed`` or ``not_approved``."""
        (app or self.app).bars[org.id if org else ""] = Bar(reason)

    def unblock_app(self, app: ConnectedApp | None = None) -> None:
        (app or self.app).bars.clear()

    def deactivate_user(self, user: User | None = None) -> None:
        """Deactivates a user, the first by default. `reactivate_user` undoes it; the refresh token survives."""
        (user or self.user).active = False

    def reactivate_user(self, user: User | None = None) -> None:
        (user or self.user).active = True

    def deactivate_org(self, org: Org | None = None) -> None:
        (org or self.org).active = False

    def reactivate_org(self, org: Org | None = None) -> None:
        (org or self.org).active = True

    def restrict_ip(self, org: Org | None = None, *, restricted: bool = True) -> None:
        """Refuses refreshes from this server's address."""
        (org or self.org).ip_restricted = restricted

    def move_instance(self, org: Org | None = None, *, host: str | None = None) -> str:
        """Moves an org to another host and ends its sessions. The next refresh tells the new `instance_url`.

        A served fake has one origin for everything: there, only the sessions end.

        Returns:
            The new host.
        """
        org = org or self.org
        with self.world.lock:
            moved = len(org.former_hosts) + 2
            org.former_hosts.add(org.instance_host)
            org.instance_host = host or f"{org.my_domain.partition('.')[0]}-na{moved}.my.salesforce.com"
            for token in self.world.live_access_tokens():
                token.ended = token.ended or token.approval.user.org is org
        return org.instance_host
