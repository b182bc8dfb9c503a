"""Where a request goes, and where its token does not."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
import requests
from django.test import override_settings

from django_sf_oauth.client import ConnectionAuth
from django_sf_oauth.exceptions import ConfigurationError

from .conftest import Plug
from .wire import EXPIRED, INSTANCE, OK, Held, client_of


@pytest.mark.parametrize(
    ("url", "full"),
    [
        ("query", f"{INSTANCE}/services/data/v66.0/query"),
        ("sobjects/Account/001", f"{INSTANCE}/services/data/v66.0/sobjects/Account/001"),
        ("/services/data/", f"{INSTANCE}/services/data/"),
        (b"/services/data/", f"{INSTANCE}/services/data/"),
        (f"{INSTANCE}/services/apexrest/x", f"{INSTANCE}/services/apexrest/x"),
    ],
    ids=["relative", "nested", "absolute-path", "bytes", "absolute"],
)
def test_a_url_is_completed_and_signed(plug: Plug, url: str | bytes, full: str) -> None:
    wire = plug(OK)

    client_of(Held()).get(url)

    assert (wire.urls, wire.tokens) == ([full], ["Bearer token-1"])


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/services/data/",
        "https://acme.my.salesforce.com.evil.example/",
        "https://other.my.salesforce.com/services/data/",
        "https://login.salesforce.com/services/data/",
        f"{INSTANCE}:8443/services/data/",
        "http://acme.my.salesforce.com/services/data/",
    ],
    ids=["foreign", "suffix", "other-org", "login", "other-port", "http-downgrade"],
)
def test_the_token_goes_to_no_other_origin(plug: Plug, url: str) -> None:
    wire = plug(OK, EXPIRED)
    held = Held()
    client = client_of(held)

    client.get(url)
    client.get(url)

    assert wire.tokens == [None, None]
    assert held.refused == []


def test_an_instance_that_is_trusted_no_more_gets_no_token(plug: Plug, settings: Any) -> None:
    """As when a site moves from a fake on loopback to Salesforce, and keeps its rows."""
    wire = plug(OK)
    client = client_of(Held(instance_url="https://crm.example"))
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "TRUSTED_HOSTS": ["crm.example"]}
    client.get("query")
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "TRUSTED_HOSTS": []}

    with pytest.raises(ConfigurationError) as caught:
        client.get("query")

    assert (caught.value.code, len(wire.urls)) == ("untrusted_host", 1)


@pytest.mark.parametrize(
    "path",
    ["//evil.example/x", "/\\evil.example", "\\\\evil.example", "https://a@evil.example/", "file:///etc/passwd"],
)
def test_a_path_that_could_mean_another_host_is_refused(plug: Plug, path: str) -> None:
    wire = plug()

    with pytest.raises(ValueError, match="URL"):
        client_of(Held()).get(path)
    assert wire.urls == []


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/",
        "https://other.my.salesforce.com/",
        f"{INSTANCE}:8443/",
        INSTANCE.replace("https", "http"),
    ],
    ids=["foreign", "other-org", "other-port", "http-downgrade"],
)
def test_a_redirect_to_another_origin_loses_the_token(plug: Plug, location: str) -> None:
    wire = plug((302, "", {"Location": location}), EXPIRED)
    held = Held()

    client_of(held).get("query")

    assert wire.tokens == ["Bearer token-1", None]
    assert held.refused == []


@pytest.mark.parametrize(
    "next_url",
    [
        "https://attacker.my.salesforce.com/services/data/v66.0/query/01g-2000",
        "https://evil.example/services/data/v66.0/query/01g-2000",
        f"{INSTANCE}@evil.example/query",
        f"{INSTANCE}.evil.example/query",
        "http://acme.my.salesforce.com/services/data/v66.0/query/01g-2000",
    ],
    ids=["attackers-org", "foreign", "userinfo", "suffix", "http-downgrade"],
)
def test_a_next_records_url_of_an_attackers_org_gets_no_token(plug: Plug, next_url: str) -> None:
    wire = plug((200, json.dumps({"nextRecordsUrl": next_url})), OK)
    client = client_of(Held())
    answer = client.get("query").json()

    with suppress(ValueError):  # what is no plain URL is not even asked
        client.get(answer["nextRecordsUrl"])

    assert [token for token in wire.tokens if token] == ["Bearer token-1"]


def test_a_redirect_within_the_instance_keeps_the_token(plug: Plug) -> None:
    wire = plug((302, "", {"Location": "/services/data/"}), OK)

    client_of(Held()).get("query")

    assert wire.tokens == ["Bearer token-1"] * 2


def test_a_redirect_after_a_refresh_carries_the_new_token(plug: Plug) -> None:
    wire = plug(EXPIRED, (302, "", {"Location": "/services/data/"}), OK)

    response = client_of(Held()).get("query")

    assert response.status_code == 200
    assert wire.tokens == ["Bearer token-1", "Bearer token-2", "Bearer token-2"]


def test_the_version_of_the_api_follows_the_settings(plug: Plug) -> None:
    wire = plug(OK)

    with override_settings(
        SALESFORCE_OAUTH={"CLIENT_ID": "3MVG9.one", "CLIENT_SECRET": None, "API_VERSION": "64.0"}
    ):
        client_of(Held()).get("query")

    assert wire.urls == [f"{INSTANCE}/services/data/v64.0/query"]


@pytest.mark.parametrize(
    ("instance", "url"),
    [(INSTANCE, "https://acme.my.salesforce.com./"), ("nonsense", "nonsense:"), ("nonsense", f"{INSTANCE}/")],
    ids=["trailing-dot", "both-odd", "odd-instance"],
)
def test_what_is_no_plain_url_gets_no_token(instance: str, url: str) -> None:
    request = requests.Request("GET", url).prepare()

    ConnectionAuth(Held(instance))(request)

    assert "Authorization" not in request.headers
    assert request.hooks["response"] == []
