from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from django_sf_oauth.models import Hold

pytestmark = pytest.mark.django_db


def test_the_kill_switch_is_what_an_operator_sets() -> None:
    stops = {"all", "app:default", "org:00D000000000002EAA"}
    for scope in {*stops, "host:test.salesforce.com", "fleet:default", "alarm:default"}:
        Hold.objects.create(scope=scope, reason="why")

    assert set(Hold.objects.of_kill_switch().values_list("scope", flat=True)) == stops


def test_a_hold_ends_at_its_time_or_when_it_is_lifted() -> None:
    now = timezone.now()
    Hold.objects.create(scope="all", reason="kill_switch")
    Hold.objects.create(scope="app:default", reason="breaker", until=now + timedelta(seconds=1))
    Hold.objects.create(scope="app:other", reason="breaker", until=now)

    in_force = Hold.objects.in_force(now).values_list("scope", flat=True)

    assert set(in_force) == {"all", "app:default"}


def test_there_is_one_hold_per_scope() -> None:
    Hold.objects.create(scope="all", reason="kill_switch")

    with pytest.raises(IntegrityError), transaction.atomic():
        Hold.objects.create(scope="all", reason="breaker")


def test_a_hold_is_called_by_its_scope() -> None:
    assert str(Hold(scope="app:default")) == "app:default"
