"""A history that was pruned verifies, and only what is pruned may be absent."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from django_sf_oauth.models import ConnectionEvent, SalesforceConnection
from django_sf_oauth.models.record import record
from django_sf_oauth.services import pruning
from tests.audit.tampering import Kind, chain_of, change, events_of, found, remove, row_with_history, wrongs
from tests.factories import make_connection


def ago(days: float) -> datetime:
    return timezone.now() - timedelta(days=days)


def write(row: SalesforceConnection, *days: float) -> None:
    """One event for each of so many days ago, in this order."""
    for number in days:
        ConnectionEvent.objects.create(
            kind=Kind.BLOCKED, app=row.app, connection=row, connection_uuid=row.uuid, created_at=ago(number)
        )


def numbers(row: SalesforceConnection) -> list[int | None]:
    return [event.sequence for event in events_of(row)]


@pytest.mark.django_db
def test_a_pruned_history_verifies_and_goes_on() -> None:
    row = make_connection()
    write(row, 500, 450, 10)

    counts = pruning.prune()
    record(row, Kind.RECOVERED)

    assert counts["events"] == 2
    assert numbers(row) == [3, 4]
    assert found() == ([], {"hold": 2})


@pytest.mark.django_db
def test_a_history_of_which_nothing_is_left_verifies_and_goes_on() -> None:
    row = make_connection()
    write(row, 500, 450)

    pruning.prune()
    pruned = found()
    record(row, Kind.RECOVERED)

    assert pruned == ([], {})
    assert (numbers(row), wrongs()) == ([3], [])


@pytest.mark.django_db
def test_an_event_deleted_after_pruning_is_missed() -> None:
    row = make_connection()
    write(row, 500, 20, 10)
    pruning.prune()

    remove(events_of(row)[0])

    assert wrongs() == [("missing", "2")]


@pytest.mark.django_db
def test_a_history_is_cut_at_its_beginning_only() -> None:
    row = make_connection()
    write(row, 500, 10, 450)  # the clock of the last one was slow

    counts = pruning.prune()

    assert (counts["events"], numbers(row), wrongs()) == (1, [2, 3], [])


@pytest.mark.django_db
def test_pruning_covers_up_no_tampering() -> None:
    row = row_with_history(make_connection())
    write(row, 500)
    type(chain_of(row)).objects.filter(pk=row.uuid).update(last=9)

    pruning.prune(keep_events=timedelta(days=1))

    assert ("chain_changed", "") in wrongs()


@pytest.mark.django_db
def test_pruning_deletes_no_event_that_somebody_has_dated_back() -> None:
    row = row_with_history(make_connection())
    for event in events_of(row)[:3]:
        change(event, created_at=ago(500))
    before = wrongs()

    pruning.prune()

    assert wrongs() == before == [("changed", "1"), ("changed", "2"), ("changed", "3")]


@pytest.mark.django_db
def test_what_follows_a_forged_event_stays_whatever_its_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "CHUNK", 1)
    row = make_connection()
    write(row, 500, 490, 480, 10)
    change(events_of(row)[1], mac="")

    counts = pruning.prune()

    assert (counts["events"], numbers(row), wrongs()) == (1, [2, 3, 4], [("unsigned", "2")])


@pytest.mark.django_db
def test_an_event_without_a_history_stays_if_it_was_forged() -> None:
    for reason in ("access_denied", "state_unknown"):
        ConnectionEvent.objects.create(kind=Kind.CONNECT_FAILED, app="default", reason=reason, created_at=ago(500))
    forged = ConnectionEvent.objects.latest("pk")
    change(forged, reason="forged")

    counts = pruning.prune()

    assert counts["events"] == 1
    assert list(ConnectionEvent.objects.values_list("pk", flat=True)) == [forged.pk]


@pytest.mark.django_db
def test_many_histories_are_pruned_in_several_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "CHUNK", 3)
    rows = [make_connection() for _ in range(3)]
    for row in rows:
        write(row, 500, 499, 1)

    assert pruning.prune()["events"] == 6
    assert [numbers(row) for row in rows] == [[3]] * 3
    assert wrongs() == []


class Histories(TestCase):
    @settings(max_examples=30, deadline=None)
    @given(
        days=st.lists(st.integers(0, 30), max_size=8),
        keep=st.integers(0, 30),
        more=st.integers(0, 3),
        lost=st.integers(0, 10),
    )
    def test_pruning_never_looks_like_an_attack_nor_hides_one(
        self, days: list[int], keep: int, more: int, lost: int
    ) -> None:
        row = make_connection()
        write(row, *(day + 0.5 for day in days))

        pruning.prune(keep_events=timedelta(days=keep))
        write(row, *[0.0] * more)
        left = events_of(row)
        assert wrongs() == []
        remove(*left[lost : lost + 1])

        assert wrongs() == [("missing", str(event.sequence)) for event in left[lost : lost + 1]]
