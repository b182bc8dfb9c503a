"""One way to say which connections are meant."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.protocol.identity import to_18
from django_sf_oauth.services.selection import NoSuchUser, Selection
from tests.factories import make_connection, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Any:
    return make_user(username="ada")


@pytest.fixture
def wanted(ada: Any) -> SalesforceConnection:
    return make_connection(
        user=ada, app="other", organization_id=to_18("00D00000000000W"), connected_at=timezone.now()
    )


@pytest.fixture
def another() -> SalesforceConnection:
    return make_connection(connected_at=timezone.now() - timedelta(days=30))


@pytest.mark.parametrize(
    "words",
    [
        pytest.param({"user": "ada"}, id="by user name"),
        pytest.param({"org": "00D00000000000W"}, id="by a 15-character org id"),
        pytest.param({"org": to_18("00D00000000000W")}, id="by an 18-character org id"),
        pytest.param({"app": "other"}, id="by app"),
        pytest.param({"since": timezone.now() - timedelta(days=1)}, id="by time"),
        pytest.param({"everything": True, "app": "other"}, id="all, narrowed"),
    ],
)
def test_a_selection_finds_what_it_names(
    wanted: SalesforceConnection, another: SalesforceConnection, words: dict[str, Any]
) -> None:
    assert list(Selection(**words).connections()) == [wanted]


def test_a_user_is_found_by_primary_key(
    wanted: SalesforceConnection, another: SalesforceConnection, ada: Any
) -> None:
    assert list(Selection(user=str(ada.pk)).connections()) == [wanted]


def test_a_connection_is_found_by_uuid(wanted: SalesforceConnection, another: SalesforceConnection) -> None:
    assert list(Selection(uuids=(another.uuid, uuid4())).connections()) == [another]


def test_all_means_all(wanted: SalesforceConnection, another: SalesforceConnection) -> None:
    assert list(Selection(everything=True).connections()) == [wanted, another]


def test_everything_that_is_said_narrows_it(wanted: SalesforceConnection, another: SalesforceConnection) -> None:
    assert not Selection(user="ada", app="default").connections().exists()


def test_saying_nothing_never_means_everything(wanted: SalesforceConnection) -> None:
    nothing = Selection()

    assert nothing.is_empty
    assert not nothing.connections().exists()


@pytest.mark.parametrize("name", ["nobody", str(uuid4())], ids=["a name", "a key"])
def test_a_user_who_does_not_exist_is_said(name: str) -> None:
    with pytest.raises(NoSuchUser):
        Selection(user=name).connections()


def test_a_broken_org_id_is_said() -> None:
    with pytest.raises(ValueError, match="id"):
        Selection(org="acme").connections()
