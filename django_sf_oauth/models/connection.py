"""A user's connection to one Salesforce org."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import models
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_sf_oauth.conf import DEFAULT_ALIAS, get_app
from django_sf_oauth.exceptions import TokenUnreadable
from django_sf_oauth.fields import SealedTextField, TrueOrNullField
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.grants.landing import landing
from django_sf_oauth.grants.outcome import raise_unless_active, raise_unless_renewed

from .active_user import raise_unless_active_user
from .due_index import DueIndex
from .fenced_save import GuardedModel
from .kill_switch import kill_switch
from .lifetime import interval_of_notes, learn, note_use, refused, schedule
from .queryset import SalesforceConnectionQuerySet

if TYPE_CHECKING:
    from concurrent.futures import Future

    from requests.auth import AuthBase
    from simple_salesforce import Salesforce

    from django_sf_oauth.aclient import AsyncClient
    from django_sf_oauth.client import Client
    from django_sf_oauth.grants.contract import Grant, Outcome

__all__ = ["SalesforceConnection"]

FRESH_FOR = timedelta(minutes=1)  # an access token lives for a quarter of an hour at least
ADOPTED = (
    "access_token",
    "refresh_token",
    "instance_url",
    "expires_at",
    "told_lifetime",
    "learned_lifetime",
    "last_refreshed_at",
    "refresh_load",
    "status",
    "reason",
    "generation",
)


class SalesforceConnection(GuardedModel):
    """One row per (user, app, organization, Salesforce user)."""

    Status = Status

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        db_index=False,  # the unique constraint begins with it, and each refresh writes all indexes anew
        related_name="salesforce_connections",
        verbose_name=_("user"),
    )
    app = models.CharField(_("connected app"), max_length=64, default=DEFAULT_ALIAS)
    organization_id = models.CharField(_("organization id"), max_length=18)
    salesforce_user_id = models.CharField(_("Salesforce user id"), max_length=18)
    username = models.CharField(_("Salesforce username"), max_length=255, blank=True)
    organization_name = models.CharField(_("organization"), max_length=255, blank=True)
    is_sandbox = models.BooleanField(_("sandbox"), default=False)
    instance_url = models.URLField(_("instance URL"), max_length=255)
    login_url = models.URLField(_("login URL"), max_length=255)
    scopes = models.JSONField(_("scopes"), default=list)
    status = models.CharField(_("status"), max_length=32, choices=Status.choices, default=Status.ACTIVE)
    reason = models.CharField(_("reason"), max_length=64, blank=True)
    withheld = models.CharField(_("withheld verdict"), max_length=64, blank=True, editable=False)
    is_default = TrueOrNullField(_("default"), default=None, blank=True)

    access_token = SealedTextField(null=True)
    refresh_token = SealedTextField(null=True)
    issued_at = models.DateTimeField(_("issued at"), null=True, editable=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, editable=False)
    slides = models.BooleanField(default=True, db_default=True, editable=False)
    told_lifetime = models.DurationField(_("session lifetime, as Salesforce says"), null=True, editable=False)
    learned_lifetime = models.DurationField(_("session lifetime, as refusals taught"), null=True, editable=False)
    lease_owner = models.UUIDField(null=True, editable=False)
    lease_until = models.BigIntegerField(null=True, editable=False)
    in_doubt_since = models.DateTimeField(null=True, editable=False)
    failure_count = models.PositiveIntegerField(_("failures"), default=0, editable=False)
    backoff_step = models.PositiveIntegerField(default=0, editable=False)
    retry_at = models.DateTimeField(null=True, editable=False)

    connected_at = models.DateTimeField(_("connected at"), default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(_("last used at"), null=True, editable=False)
    last_refreshed_at = models.DateTimeField(_("last refreshed at"), null=True, editable=False)
    refresh_load = models.FloatField(default=0.0, db_default=0.0, editable=False)
    next_refresh_at = models.DateTimeField(_("next refresh at"), null=True, editable=False)
    # In no index: PostgreSQL then writes a claim beside the row, and none of the table's indexes.
    claimed_until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    objects = SalesforceConnectionQuerySet.as_manager()

    GUARDED = frozenset(
        {
            "access_token",
            "refresh_token",
            "generation",
            "issued_at",
            "expires_at",
            "slides",
            "told_lifetime",
            "learned_lifetime",
            "instance_url",
            "login_url",
            "scopes",
            "connected_at",
            "is_default",
            "lease_owner",
            "lease_until",
            "in_doubt_since",
            "failure_count",
            "backoff_step",
            "retry_at",
            "status",
            "reason",
            "withheld",
            "last_used_at",
            "last_refreshed_at",
            "refresh_load",
            "next_refresh_at",
            "claimed_until",
        }
    )

    ENDS_WITH = {
        "refresh_token": {"lease_owner": None, "lease_until": None, "in_doubt_since": None, "withheld": ""}
    }

    class Meta:
        verbose_name = _("Salesforce connection")
        verbose_name_plural = _("Salesforce connections")
        constraints = [
            models.UniqueConstraint(
                fields=["user", "app", "organization_id", "salesforce_user_id"],
                name="sf_oauth_one_per_identity",
            ),
            models.UniqueConstraint(fields=["user", "is_default"], name="sf_oauth_one_default"),
        ]
        indexes = [DueIndex(fields=["next_refresh_at", "id"], name="sf_oauth_due_first")]

    def __str__(self) -> str:
        return self.username or f"{self.organization_id}/{self.salesforce_user_id}"

    def save(self, *, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        """As ever; a new refresh token is one that the sweep keeps alive, also if nobody uses it."""
        names = None if update_fields is None else set(update_fields)
        if self._state.adding or self._was_assigned("refresh_token"):
            schedule(self)
            if names is not None and "refresh_token" in names:
                names.add("next_refresh_at")
        super().save(update_fields=names, **kwargs)

    @property
    def reconnect_url(self) -> str:
        """Path on this site where a browser can connect it again; empty without the package's URLs."""
        try:
            return reverse("sf_oauth:reconnect", args=[self.uuid])
        except NoReverseMatch:
            return ""

    def client(self) -> Client:
        """A ``requests.Session`` on this connection's REST API; it refreshes itself."""
        from django_sf_oauth.client import Client  # not at start-up: it brings requests

        return Client(self)

    def async_client(self) -> AsyncClient:
        """The async twin of `client`, an ``httpx2.AsyncClient``.

        Raises:
            ConfigurationError: httpx2 is not installed.
        """
        from django_sf_oauth.aclient import AsyncClient

        return AsyncClient(self)

    def auth(self) -> AuthBase:
        """For ``auth=`` of any requests call or session."""
        from django_sf_oauth.client import ConnectionAuth

        return ConnectionAuth(self)

    def simple_salesforce(self) -> Salesforce:
        """A ``simple_salesforce.Salesforce`` that refreshes itself.

        Raises:
            ConfigurationError: simple-salesforce is not installed.
        """
        from django_sf_oauth.client import simple_salesforce

        return simple_salesforce(self)

    def valid_access_token(self) -> str:
        """An access token that has not run out as far as is known; refreshed if it has.

        The escape hatch: whoever holds the text has to deal with a 401 alone.

        Raises:
            SalesforceOAuthError: the connection is not active, or the refresh failed.
        """
        raise_unless_active(self)
        if self.access_token is None or (self.expires_at and self.expires_at <= timezone.now()):
            self._renew(self.generation)
        return self.bearer()

    def refresh(self) -> None:
        """Refreshes now, also during a back-off; success makes a blocked connection active again.

        Raises:
            ReconnectRequired, AccessBlocked, ConfigurationError, TemporarilyUnavailable, NotConnected
        """
        self._renew(self.generation, forced=True)

    def disconnect(self, *, actor: Any = None) -> bool:
        """Forgets the tokens at once and revokes the grant at Salesforce, now or later.

        Returns:
            Whether Salesforce has confirmed it already; if not, `revoke_pending` will go on trying.
        """
        from .disconnect import disconnect  # it imports this module

        return disconnect(self, actor=actor)

    def bearer(self) -> str:
        """The stored access token, for one request.

        Raises:
            SalesforceOAuthError: the connection is not active, or its token could not be read nor renewed.
        """
        raise_unless_active(self)
        kill_switch.check(self)
        if self.access_token is None:
            self._renew(self.generation)
        self.touch()
        try:
            return self._plain_access_token()
        except TokenUnreadable:
            # The refresh token may still open; if not, the refresh flags the connection for a reconnect.
            self._renew(self.generation)
            return self._plain_access_token()

    async def abearer(self) -> str:
        """As `bearer`; the event loop waits for no database."""
        raise_unless_active(self)
        if kill_switch.is_known:
            kill_switch.check(self)  # without a query
        else:
            await sync_to_async(kill_switch.check)(self)
        if self.access_token is None:
            await self._arenew(self.generation)
        if not self._is_touched:
            await sync_to_async(self.touch)()
        try:
            return self._plain_access_token()
        except TokenUnreadable:
            await self._arenew(self.generation)
            return self._plain_access_token()

    def _plain_access_token(self) -> str:
        token = self.access_token
        return token.reveal() if token else ""

    def renew(self, refused_generation: int, *, forced: bool = False) -> bool:
        """Sees to tokens of a later generation than the one that Salesforce refused, and adopts them.

        Returns:
            Whether they are fresh. Those that were there already may have run out since, too.
        """
        lesson = None if forced else refused(self, refused_generation)
        fresh = self._renew(refused_generation, forced=forced)
        if lesson is not None:
            learn(self, lesson)
        return fresh

    def _renew(self, generation: int, *, forced: bool = False) -> bool:
        from .readings import seen_in  # both import this module
        from .store import engine

        if self.generation > generation:
            return self._is_fresh
        raise_unless_active_user(self)
        patience = get_app(self.app).timeouts.wait
        outcome = engine.refresh(self.pk, generation, forced=forced, see=partial(seen_in, self), patience=patience)
        self.adopt(outcome)
        raise_unless_renewed(outcome, self)
        return self._is_fresh

    async def arenew(self, refused_generation: int, *, forced: bool = False) -> bool:
        """As `renew`; the refresh goes on when the caller is cancelled."""
        lesson = None if forced else refused(self, refused_generation)
        fresh = await self._arenew(refused_generation, forced=forced)
        if lesson is not None:
            await sync_to_async(learn)(self, lesson)
        return fresh

    async def _arenew(self, generation: int, *, forced: bool = False) -> bool:
        if self.generation > generation:
            return self._is_fresh
        # On the thread that has the caller's database connection: inside a TestCase this is the whole refresh.
        flight = await sync_to_async(self._submit)(generation, forced=forced)
        outcome = await landing(flight, patience=get_app(self.app).timeouts.wait)
        self.adopt(outcome)
        raise_unless_renewed(outcome, self)
        return self._is_fresh

    def _submit(self, generation: int, *, forced: bool) -> Future[Outcome]:
        from .readings import seen_in
        from .store import engine

        raise_unless_active_user(self)
        return engine.submit(self.pk, generation, forced=forced, see=partial(seen_in, self))

    @property
    def _is_fresh(self) -> bool:
        """If such tokens are refused, another refresh would not help. Hosts' clocks may differ by half of it."""
        refreshed_at = self.last_refreshed_at
        return refreshed_at is not None and timezone.now() - refreshed_at < FRESH_FOR

    def adopt(self, outcome: Outcome) -> None:
        """Takes over what the refresh stored, without a query: this transaction may not see it yet."""
        if outcome.grant is not None and outcome.grant.generation >= self.generation:
            self._adopt_grant(outcome.grant)

    def _adopt_grant(self, grant: Grant) -> None:
        # The generation comes last: a thread that reads it and then the token never holds too new a number.
        for name in ADOPTED:
            setattr(self, name, getattr(grant, name))
        self._remember(ADOPTED)

    def touch(self) -> None:
        """Notes that the connection is in use: at most once an hour, or four times in a session's life.

        Raises:
            NotConnected: its user is inactive on this site (code ``user_inactive``).
        """
        if not self._is_touched:
            raise_unless_active_user(self)
            self.last_used_at = now = timezone.now()
            self._remember(["last_used_at"])
            note_use(self, now)

    @property
    def _is_touched(self) -> bool:
        return self.last_used_at is not None and timezone.now() - self.last_used_at < interval_of_notes(self)

    def take_over(self, generation: int, values: Mapping[str, Any]) -> None:
        """Knows what was just written to its row, unless it holds other tokens than that."""
        if generation == self.generation:
            for name, value in values.items():
                setattr(self, name, value)
            self._remember(values)


# A template calls what it names, unless that is marked: a page would show a token, or end a grant.
_not_for_templates: tuple[Any, ...] = (
    SalesforceConnection.abearer,
    SalesforceConnection.arenew,
    SalesforceConnection.bearer,
    SalesforceConnection.disconnect,
    SalesforceConnection.refresh,
    SalesforceConnection.renew,
    SalesforceConnection.valid_access_token,
)
for _method in _not_for_templates:
    _method.alters_data = True
