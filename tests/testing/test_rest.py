from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from simple_salesforce import Salesforce

from django_sf_oauth.testing import FakeSalesforce
from django_sf_oauth.testing.soql import MalformedQuery, select

from .site import Site

QUERY = "/services/data/v66.0/query"


def test_simple_salesforce_reads_accounts(fake: FakeSalesforce, site: Site) -> None:
    issued = fake.issue()
    client = Salesforce(instance_url=issued["instance_url"], session_id=issued["access_token"], session=site)

    answer = client.query("SELECT Id, Name FROM Account ORDER BY Name LIMIT 2")

    assert [record["Name"] for record in answer["records"]] == ["Alpenglow Outfitters", "Brightwater Marine"]
    assert all(len(record["Id"]) == 18 for record in answer["records"])


def test_the_organization_tells_what_it_is(fake: FakeSalesforce, site: Site) -> None:
    answer = site.call(fake.issue(), f"{QUERY}/?q=SELECT+Name,IsSandbox,InstanceName+FROM+Organization")

    assert answer.json()["records"] == [
        {
            "attributes": {
                "type": "Organization",
                "url": "/services/data/v66.0/sobjects/Organization",
            },
            "Name": "Acme Outdoor",
            "IsSandbox": False,
            "InstanceName": "USA582",
        }
    ]


@pytest.mark.parametrize("ending", ["idle", "expired", "revoked", "user", "org"])
def test_a_dead_session_gets_salesforces_401(fake: FakeSalesforce, site: Site, ending: str) -> None:
    issued = fake.issue()
    endings: dict[str, Callable[[], object]] = {
        "idle": lambda: fake.advance(7200),
        "expired": fake.expire_access_tokens,
        "revoked": fake.revoke,
        "user": fake.deactivate_user,
        "org": fake.deactivate_org,
    }
    endings[ending]()

    answer = site.call(issued)

    assert answer.status_code == 401
    assert answer.json() == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


def test_a_token_is_worth_nothing_at_another_orgs_instance(fake: FakeSalesforce, site: Site) -> None:
    fake.add_org("Bluefin", my_domain="bluefin.my.salesforce.com")

    assert not site.lives({**fake.issue(), "instance_url": "https://bluefin.my.salesforce.com"})


def test_a_session_without_the_api_gets_a_401_that_no_refresh_cures(fake: FakeSalesforce, site: Site) -> None:
    answer = site.call(fake.issue(scopes=["id", "refresh_token"]))

    assert answer.status_code == 401
    assert answer.json()[0]["message"] == "This session is not valid for use with the REST API"


def test_each_call_is_counted_in_a_header(fake: FakeSalesforce, site: Site) -> None:
    issued = fake.issue()

    usage = [site.call(issued).headers["Sforce-Limit-Info"] for _ in range(2)]

    assert usage == ["api-usage=1/15000", "api-usage=2/15000"]
    assert site.call(issued).json() == {"DailyApiRequests": {"Max": 15000, "Remaining": 14998}}


def test_an_account_can_be_created(fake: FakeSalesforce, site: Site) -> None:
    issued = fake.issue()
    headers = {"Authorization": f"Bearer {issued['access_token']}"}
    url = f"{issued['instance_url']}/services/data/v66.0/sobjects/Account/"

    answer = site.post(url, json={"Name": "Zephyr Kites"}, headers=headers)

    assert (answer.status_code, answer.json()["success"]) == (201, True)
    found = site.call(issued, f"{QUERY}?q=SELECT+Name,Phone,Id+FROM+Account+ORDER+BY+Name+DESC+LIMIT+1")
    assert found.json()["records"][0]["Name"] == "Zephyr Kites"
    assert found.json()["records"][0]["Phone"] is None
    assert found.json()["records"][0]["Id"] == answer.json()["id"]


@pytest.mark.parametrize("body", ["[1]", "not json"])
def test_a_body_that_is_no_object_is_refused(fake: FakeSalesforce, site: Site, body: str) -> None:
    issued = fake.issue()
    headers = {"Authorization": f"Bearer {issued['access_token']}"}

    answer = site.post(f"{issued['instance_url']}/services/data/v66.0/sobjects/Account", body, headers=headers)

    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/services/data/", 200),
        ("/services/data/v66.0/", 200),
        ("/services/data/v66.0/nonsense", 404),
        ("/services/data/latest/query", 404),
        (f"{QUERY}?q=DELETE+FROM+Account", 400),
    ],
)
def test_paths_answer_as_expected(fake: FakeSalesforce, site: Site, path: str, status: int) -> None:
    assert site.call(fake.issue(), path).status_code == status


def test_the_versions_need_no_token(site: Site) -> None:
    assert site.get("https://acme-outdoor.my.salesforce.com/services/data/").json()[-1]["version"] == "66.0"


ROWS: dict[str, list[dict[str, Any]]] = {
    "Account": [{"Name": "b", "Size": 2}, {"Name": "a", "Size": None}, {"Name": "c", "Size": 1}]
}


def test_soql_on_an_object_without_rows_selects_nothing() -> None:
    assert select("SELECT Id, Name FROM Account", {"Account": []}) == ("Account", [])


@pytest.mark.parametrize(
    ("soql", "names"),
    [
        ("SELECT Name FROM Account", ["b", "a", "c"]),
        ("select name from account order by name", ["a", "b", "c"]),
        ("SELECT Name FROM Account ORDER BY Name DESC LIMIT 2", ["c", "b"]),
        ("SELECT Name FROM Account ORDER BY Size ASC", ["a", "c", "b"]),
        ("SELECT Name FROM Account LIMIT 0", []),
    ],
)
def test_soql_selects(soql: str, names: list[str]) -> None:
    kind, rows = select(soql, ROWS)

    assert (kind, rows) == ("Account", [{"Name": name} for name in names])


@pytest.mark.parametrize(
    ("soql", "said"),
    [
        ("", "unexpected token"),
        ("SELECT Name FROM Account WHERE Name = 'a'", "unexpected token"),
        ("SELECT Name FROM Opportunity", "sObject type 'Opportunity' is not supported"),
        ("SELECT Name FROM Account ORDER BY Secret", "No such column 'Secret' on entity 'Account'"),
        ("SELECT Secret FROM Account", "No such column 'Secret' on entity 'Account'"),
    ],
)
def test_soql_beyond_the_crumb_is_malformed(soql: str, said: str) -> None:
    with pytest.raises(MalformedQuery, match=said):
        select(soql, ROWS)
