"""What one process of a site has found out about a host or an app, another one heeds."""

from __future__ import annotations

from typing import Any

import pytest

from django_sf_oauth.exceptions import SalesforceOAuthError
from tests.races.site import Site, reload

pytestmark = pytest.mark.django_db(transaction=True)

ENOUGH = 3


@pytest.mark.parametrize("count", [1, ENOUGH], ids=["too few", "enough"])
def test_a_host_that_failed_one_process_is_left_in_peace_by_another(site: Site, settings: Any, count: int) -> None:
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "BREAKER": {"count": ENOUGH}}
    rows = [site.connect() for _ in range(count)]
    site.fake.fail_next(status=503, body="", times=count)
    for row in rows:
        with pytest.raises(SalesforceOAuthError):
            row.refresh()

    fared = site.race(site.connect(), processes=1, threads=2)

    assert set(fared) == ({"breaker_open"} if count == ENOUGH else {"200"})
    assert site.asked == {"HTTP 503": count} | ({} if count == ENOUGH else {"ok": 1})


@pytest.mark.parametrize("count", [1, ENOUGH], ids=["too few", "enough"])
def test_a_verdict_is_withheld_by_one_process_when_another_has_flagged_too_many(
    site: Site, settings: Any, count: int
) -> None:
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "FLEET_GUARD": {"count": ENOUGH, "share": 0}}
    rows = [site.connect() for _ in range(count)]
    site.fake.revoke()
    for row in rows:
        with pytest.raises(SalesforceOAuthError):
            row.refresh()
    later = site.connect()
    site.fake.revoke()

    fared = site.race(later, processes=1, threads=2)

    assert set(fared) == ({"fleet_guard"} if count == ENOUGH else {"revoked"})
    assert reload(later).status == ("active" if count == ENOUGH else "reconnect_required")
