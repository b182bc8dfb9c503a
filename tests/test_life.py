"""The life of a connection, whatever the order of what happens to it.

``HYPOTHESIS_PROFILE=thorough`` tries 1,500 lives and shrinks what fails; give it pytest's
``-o faulthandler_timeout=0``, which otherwise ends a test after two minutes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.life.machine import Life
from tests.life.trouble import CHANGES, MEANWHILE, TROUBLES

pytestmark = pytest.mark.django_db(transaction=True)

EXAMPLES = {"thorough": 750}
PHASES = {"thorough": tuple(Phase)}


@pytest.mark.parametrize("half", ["first half", "second half"])
def test_no_order_of_events_loses_a_connection(half: str) -> None:
    """What Salesforce would still honour works again; what it would not is flagged, with the right reason."""
    profile = os.environ.get("HYPOTHESIS_PROFILE", "")
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=EXAMPLES.get(profile, 25),
            phases=PHASES.get(profile, (Phase.reuse, Phase.generate)),
            stateful_step_count=30,
            deadline=None,  # a busy machine is not what is tested
            print_blob=True,
            derandomize=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize(
    ("rotation", "way"), [("rotation: ", "call"), ("rotation: I", "now"), ("rotation: II", "sweep")]
)
def test_no_event_alone_loses_a_connection(rotation: str, way: str) -> None:
    """Each of them once, on a fresh connection; with a refresh that a call, a user or the sweep brings about."""
    life = Life()
    try:
        for event in events(life, way):
            life.something_changes(0, rotation)
            life.reconnect(0)
            life.holds()
            event()
            life.holds()
            life.call(0)
            life.reconnect(1)
            life.all_is_well_again()
    finally:
        life.teardown()


def events(life: Life, way: str) -> Iterator[Callable[[], object]]:
    for what in TROUBLES:
        yield partial(life.trouble, 0, way, what)
    for what in MEANWHILE:
        yield partial(life.while_it_is_in_flight, 0, way, what)
        yield partial(life.before_its_answer_is_stored, 0, way, what)
    for what in dict.fromkeys(CHANGES):
        yield partial(life.something_changes, 0, what)
    for event in (life.database_down_at_the_store, life.riddle, life.somebody_elses_request_is_in_flight):
        yield partial(event, 0, way)
    for event in (life.call_with_an_old_copy, life.save_an_old_copy, life.refresh_now, life.disconnect):
        yield partial(event, 0)
    # What comes too late for a connection that was given up, or is flagged
    yield partial(one_after_another, partial(life.disconnect, 0), partial(life.trouble, 0, way, "maintenance"))
    yield partial(one_after_another, partial(life.disconnect, 0), partial(life.database_down_at_the_store, 0, way))
    dies = partial(life.something_changes, 0, "revoked")
    yield partial(one_after_another, dies, partial(life.access_tokens_expire, 0), life.sweep)
    yield partial(one_after_another, dies, partial(life.call, 0), partial(life.refresh_now, 0))
    for event in (life.sweep, life.revoke_pending, partial(life.time_passes, leases=False)):
        yield event


def one_after_another(*events: Callable[[], object]) -> None:
    for event in events:
        event()
