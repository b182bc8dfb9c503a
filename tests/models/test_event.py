from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.utils import timezone

from django_sf_oauth.models import ConnectionEvent
from tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def event() -> ConnectionEvent:
    return ConnectionEvent.objects.create(kind=ConnectionEvent.Kind.BLOCKED, reason="app_blocked", app="default")


def test_an_entry_cannot_be_changed(event: ConnectionEvent) -> None:
    event.reason = "nothing happened"

    with pytest.raises(TypeError, match="append-only"):
        event.save()
    assert ConnectionEvent.objects.get().reason == "app_blocked"


@pytest.mark.parametrize(
    "change",
    [
        lambda entries, entry: entries.update(reason="nothing happened"),
        lambda entries, entry: async_to_sync(entries.all().aupdate)(reason="nothing happened"),
        lambda entries, entry: entries.bulk_update([entry], ["reason"]),
        lambda entries, entry: entries.update_or_create(pk=entry.pk, defaults={"reason": "nothing happened"}),
    ],
    ids=["update", "aupdate", "bulk_update", "update_or_create"],
)
def test_entries_cannot_be_changed_in_bulk(event: ConnectionEvent, change: Callable[[Any, Any], None]) -> None:
    with pytest.raises(TypeError, match="append-only"), transaction.atomic():
        change(ConnectionEvent.objects, event)
    assert ConnectionEvent.objects.get().reason == "app_blocked"


def test_an_entry_outlives_the_people_it_names(event: ConnectionEvent) -> None:
    user = make_user()
    ConnectionEvent.objects.create(kind=ConnectionEvent.Kind.DISCONNECTED, user=user, actor=user, app="default")

    user.delete()

    newest = ConnectionEvent.objects.all()[0]
    assert (newest.user, newest.actor) == (None, None)


def test_the_newest_comes_first(event: ConnectionEvent) -> None:
    newer = ConnectionEvent.objects.create(kind=ConnectionEvent.Kind.RECOVERED, app="default")

    assert list(ConnectionEvent.objects.all()) == [newer, event]


def test_old_entries_can_be_found(event: ConnectionEvent) -> None:
    ConnectionEvent.objects.create(
        kind=ConnectionEvent.Kind.CONNECTED, app="default", created_at=timezone.now() - timedelta(days=2)
    )

    old = ConnectionEvent.objects.older_than(timezone.now() - timedelta(days=1))

    assert [one.kind for one in old] == [ConnectionEvent.Kind.CONNECTED]


def test_an_entry_says_what_happened(event: ConnectionEvent) -> None:
    assert str(event) == "blocked app_blocked"
    assert str(ConnectionEvent(kind="connected")) == "connected"
