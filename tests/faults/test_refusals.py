"""Refusals that mean something else than they say, because somebody else was there as well."""

from __future__ import annotations

import json
from typing import Any

import pytest

from django_sf_oauth.exceptions import ReconnectRequired
from django_sf_oauth.models import ConnectionEvent, SalesforceConnection
from django_sf_oauth.testing import refusals
from django_sf_oauth.testing.refusals import Said
from tests.races.site import Site, end_the_lease, reload

pytestmark = pytest.mark.django_db(transaction=True)

Row = SalesforceConnection


def refuse(site: Site, said: Said, times: int = 1) -> None:
    body = json.dumps({"error": said.error, "error_description": said.description})
    site.fake.fail_next(status=400, body=body, content_type="application/json", times=times)


def assert_unharmed(row: Row, generation: int = 2) -> None:
    stored = reload(row)
    assert (stored.status, stored.generation, stored.in_doubt_since) == ("active", generation, None)
    assert (stored.failure_count, stored.backoff_step, stored.lease_owner) == (0, 0, None)
    assert ConnectionEvent.objects.count() == 0


def test_a_dead_grant_is_not_believed_when_another_worker_has_won(site: Site, row: Row) -> None:
    refuse(site, refusals.DEAD_TOKEN)
    with site.workers(row, processes=2, threads=1, stops={"refused": 1}) as (late, winner):
        late.go()
        late.await_stop("refused")
        end_the_lease()
        winner.go()
        assert winner.fared() == ["200"]
        late.go_on()

        assert late.fared() == ["200"]

    assert_unharmed(row)
    assert site.asked == {"HTTP 400": 1, "ok": 1}


def test_an_answer_that_is_stored_late_revives_what_was_flagged_meanwhile(site: Site, row: Row) -> None:
    site.fake.replay = "I"
    with site.workers(row, processes=2, threads=1, stops={"answered": 1}) as (late, other):
        late.go()
        late.await_stop("answered")
        end_the_lease()
        other.go()
        assert other.fared() == ["rotation_lost"]
        late.go_on()

        assert late.fared() == ["200"]

    stored = reload(row)
    assert (stored.status, stored.reason, stored.generation) == ("active", "", 2)
    assert stored.in_doubt_since is not None  # as long as nobody has asked with it
    assert [event.kind for event in ConnectionEvent.objects.order_by("pk")] == ["reconnect_required", "recovered"]
    assert site.asked == {"ok": 1, "invalid_grant": 1}
    stored.refresh()
    assert (stored.status, reload(row).in_doubt_since) == ("active", None)


@pytest.mark.parametrize("is_told_first", [True, False], ids=["its verdict first", "the answer first"])
def test_what_is_stored_late_is_in_doubt_as_another_worker_may_have_ended_it(
    site: Site, row: Row, is_told_first: bool
) -> None:
    """Salesforce ends the grant on a replay, and the answer stored late is the newest there is."""
    site.fake.replay = "II"
    with site.workers(row, processes=2, threads=1, stops={"answered": 1, "refused": 1}) as (late, other):
        late.go()
        late.await_stop("answered")
        end_the_lease()
        other.go()
        other.await_stop("refused")
        first, second = (other, late) if is_told_first else (late, other)
        first.go_on()
        assert first.fared() == ["rotation_lost" if is_told_first else "401"]
        second.go_on()
        assert second.fared() == ["401"]

    stored = reload(row)
    assert (stored.status, stored.generation) == ("active", 2)
    with pytest.raises(ReconnectRequired) as refused:
        stored.refresh()

    assert refused.value.code == "rotation_lost"
    assert {event.reason for event in ConnectionEvent.objects.all()} == {"rotation_lost"}


def test_an_answer_that_comes_after_another_worker_has_won_harms_nobody(site: Site, row: Row) -> None:
    site.fake.rotation = False
    with site.workers(row, processes=2, threads=1, stops={"answered": 1}) as (late, winner):
        late.go()
        late.await_stop("answered")
        end_the_lease()
        winner.go()
        winner.await_stop("answered")
        winner.go_on()
        assert winner.fared() == ["200"]
        late.go_on()

        assert late.fared() == ["200"]

    assert_unharmed(row, generation=3)
    assert site.asked == {"ok": 2}


@pytest.mark.parametrize("step", ["claimed", "claimed at once"])
def test_a_worker_that_slept_past_its_lease_does_not_post(site: Site, row: Row, settings: Any, step: str) -> None:
    timeouts = {"total": 1, "lease": 2, "wait": 30}  # seconds
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "TIMEOUTS": timeouts}
    with site.workers(row, processes=1, threads=1, stops={step: 1}) as (sleeper,):
        sleeper.go()
        sleeper.await_stop(step)
        settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "TIMEOUTS": {"wait": 30}}
        reload(row).refresh()  # waits for the lease to end
        sleeper.go_on()

        assert sleeper.fared() == ["200"]

    assert_unharmed(row)
    assert site.asked == {"ok": 1}


def test_a_token_in_use_elsewhere_is_asked_for_again_and_nobody_notices(site: Site, row: Row) -> None:
    refuse(site, refusals.IN_PROCESS, times=2)

    assert site.race(row, processes=2, threads=4) == ["200"] * 8

    assert_unharmed(row)
    assert site.asked == {"HTTP 400": 2, "ok": 1}
