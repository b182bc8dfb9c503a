"""Many calls at once that Salesforce answers with 401."""

from __future__ import annotations

import json

import pytest

from django_sf_oauth.models import SalesforceConnection
from django_sf_oauth.testing import rest
from tests.races.site import Site, reload

pytestmark = pytest.mark.django_db(transaction=True)

Row = SalesforceConnection


def refuse_calls(site: Site, said: tuple[str, str], times: int) -> None:
    code, message = said
    body = json.dumps([{"errorCode": code, "message": message}])
    site.fake.fail_next(where="api", status=401, body=body, content_type="application/json", times=times)


def test_fifty_requests_on_one_expired_token_make_one_token_request(site: Site, row: Row) -> None:
    assert site.race(row, processes=2, threads=25) == ["200"] * 50

    assert (reload(row).status, reload(row).generation) == ("active", 2)
    assert site.asked == {"ok": 1}


def test_a_401_that_a_refresh_cannot_cure_does_not_refresh(site: Site, row: Row) -> None:
    refuse_calls(site, rest.NOT_FOR_REST, times=50)

    assert site.race(row, processes=2, threads=25) == ["401"] * 50

    assert (reload(row).status, reload(row).generation) == ("active", 1)
    assert site.asked == {}


def test_a_401_that_a_refresh_did_not_cure_does_not_refresh_again(site: Site, row: Row) -> None:
    refuse_calls(site, rest.EXPIRED, times=100)

    assert site.race(row, processes=2, threads=25) == ["401"] * 50

    assert (reload(row).status, reload(row).generation) == ("active", 2)
    assert site.asked == {"ok": 1}
