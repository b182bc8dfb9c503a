from __future__ import annotations

import subprocess
import sys

import pytest

from django_sf_oauth.grants.backoff import full_jitter


@pytest.mark.parametrize(
    ("step", "most"), [(0, 2), (1, 4), (5, 64), (10, 900), (10_000, 900)], ids=lambda value: str(value)
)
def test_the_wait_is_drawn_from_all_that_the_step_allows(step: int, most: int) -> None:
    drawn = [full_jitter(2, step, 900) for _ in range(300)]

    assert all(0 <= seconds <= most for seconds in drawn)
    assert max(drawn) > most / 2
    assert min(drawn) < most / 2


def test_it_costs_nothing_until_a_try_has_failed() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import sys, django_sf_oauth.grants.backoff; print('celery' in sys.modules)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert said.stdout == "False\n"
