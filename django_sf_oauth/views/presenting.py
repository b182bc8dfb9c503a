"""Rows as the pages show them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from django_sf_oauth.conf import AppSettings, get_apps
from django_sf_oauth.models import ConnectAttempt, SalesforceConnection
from django_sf_oauth.models.kill_switch import kill_switch
from django_sf_oauth.protocol.hosts import host_of
from django_sf_oauth.services.advice import Advice, Tone, advise, title_of

__all__ = ["AppChoice", "Card", "OpenAttempt", "Retry", "app_choices", "cards_of", "open_attempts_of"]

HOST_NAMES = {"login.salesforce.com": _("Production"), "test.salesforce.com": _("Sandbox")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """One connection."""

    connection: SalesforceConnection
    advice: Advice

    @property
    def title(self) -> str:
        return title_of(self.connection)

    @property
    def is_over(self) -> bool:
        return self.advice.tone is Tone.OFF


def cards_of(user: Any) -> list[Card]:
    """The user's connections: the default first, given-up ones last."""
    rows = SalesforceConnection.objects.for_user(user)
    cards = [Card(connection=row, advice=advise(row)) for row in rows]
    return sorted(cards, key=lambda card: (card.is_over, not card.connection.is_default, card.title.lower()))


@dataclass(frozen=True, kw_only=True, slots=True)
class HostChoice:
    """A place to sign in at Salesforce."""

    host: str

    @property
    def name(self) -> str | Promise:
        return HOST_NAMES.get(self.host, _("Salesforce"))


@dataclass(frozen=True, kw_only=True, slots=True)
class AppChoice:
    """A connected app that the user may choose, unless an operator has stopped it."""

    alias: str
    hosts: tuple[HostChoice, ...]
    is_stopped: bool


def app_choices() -> list[AppChoice]:
    return [_choice(app) for app in get_apps().values()]


def _choice(app: AppSettings) -> AppChoice:
    return AppChoice(alias=app.alias, hosts=_hosts(app), is_stopped=kill_switch.is_stopped(app=app.alias))


def _hosts(app: AppSettings) -> tuple[HostChoice, ...]:
    names = dict.fromkeys([host_of(app.login_url), *app.login_hosts])
    return tuple(HostChoice(host=name) for name in names if name)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """The form that begins an attempt again."""

    action: str
    app: str
    login_host: str
    next_url: str

    @classmethod
    def of(cls, attempt: ConnectAttempt) -> Retry:
        connection = attempt.connection
        return cls(
            action=reverse("sf_oauth:reconnect", args=[connection.uuid])
            if connection
            else reverse("sf_oauth:connect"),
            app=attempt.app,
            login_host=host_of(attempt.login_url),
            next_url=attempt.next_url,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenAttempt:
    """An attempt that may be waiting on an error page of Salesforce's, from which nobody comes back."""

    host: HostChoice
    redirect_uri: str
    began: datetime
    retry: Retry


def open_attempts_of(user: Any) -> list[OpenAttempt]:
    """The newest attempt of each kind that is still open."""
    rows = ConnectAttempt.objects.open().filter(user=user).select_related("connection").order_by("-created_at")
    return [_open(row) for row in _newest_of_each_kind(rows) if not _is_stopped(row)]


def _is_stopped(row: ConnectAttempt) -> bool:
    """To begin it again would be refused."""
    return kill_switch.is_stopped(app=row.app, org=row.connection.organization_id if row.connection else "")


def _newest_of_each_kind(rows: Iterable[ConnectAttempt]) -> Iterable[ConnectAttempt]:
    kinds: dict[tuple[Any, ...], ConnectAttempt] = {}
    for row in rows:
        kinds.setdefault((row.app, row.login_url, row.redirect_uri, row.connection_id), row)
    return kinds.values()


def _open(row: ConnectAttempt) -> OpenAttempt:
    return OpenAttempt(
        host=HostChoice(host=host_of(row.login_url)),
        redirect_uri=row.redirect_uri,
        began=row.created_at,
        retry=Retry.of(row),
    )
