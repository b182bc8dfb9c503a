"""What must hold whatever comes in. Each claim takes hostile input and fails by an exception."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import requests
from django.http import QueryDict
from django.utils.encoding import iri_to_uri
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from requests.adapters import BaseAdapter

from django_sf_oauth.adapters import use_adapter
from django_sf_oauth.client import Client
from django_sf_oauth.conf import get_app
from django_sf_oauth.exceptions import ConnectFailed
from django_sf_oauth.grants.belonging import of_its_org
from django_sf_oauth.models.token_values import token_values
from django_sf_oauth.protocol.api import read_api_failure
from django_sf_oauth.protocol.authorize import CallbackCode, CallbackMalformed, read_callback
from django_sf_oauth.protocol.errors import Refusal, classify_authorize_error
from django_sf_oauth.protocol.hosts import is_trusted_url
from django_sf_oauth.protocol.identity import parse_identity
from django_sf_oauth.protocol.tokens import TokenAnswer, read_answer
from django_sf_oauth.services.connect import _chosen_url
from django_sf_oauth.views.connecting import _next_url
from tests.grants.memory import grant

from .inputs import INSTANCE, TOKEN, bodies, callback_queries, content_types, paths, urls, ways_back
from .readings import browser_host, wire_origin

__all__ = ["CLAIMS", "REACHED", "Claim"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A function that must not raise, and what it is tried with."""

    check: Callable[..., None]
    inputs: dict[str, st.SearchStrategy[Any]]

    @property
    def name(self) -> str:
        return self.check.__name__

    def play(self, how: settings, *, of_seed: int = 0) -> None:
        """Tries it; the smallest input that fails is shown with what was raised."""
        seed(of_seed)(how(given(**self.inputs)(self.check)))()


CLAIMS: list[Claim] = []


def claim(**inputs: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def register(check: Callable[..., None]) -> Callable[..., None]:
        CLAIMS.append(Claim(check=check, inputs=inputs))
        return check

    return register


ORG = "00D000000000001EAA"
OWN = f"https://login.salesforce.com/id/{ORG}/005000000000001AAA"
identities = st.sampled_from([OWN, OWN.replace(ORG, "00D000000000002"), None]) | urls
# Written out: to take it from the package would be to believe it.
SALESFORCE = (
    *(".salesforce.com", ".force.com", ".cloudforce.com", ".database.com"),
    *(".salesforce.mil", ".crmforce.mil", ".sfcrmproducts.cn"),
)
SITE = "crm.example.com"
# How often a claim came to the point: one that refuses everything would hold, too.
REACHED: Counter[str] = Counter()


@claim(url=urls)
def a_url_that_is_trusted_leads_to_salesforce(url: str) -> None:
    if is_trusted_url(url):
        REACHED["trusted url"] += 1
        origin = wire_origin(url)
        assert origin is None or (origin[0] == "https" and origin[1].endswith(SALESFORCE) and origin[2] == 443)


class Recorder(BaseAdapter):
    """Answers with a redirect, then with nothing, and keeps what was sent where."""

    def __init__(self, location: str) -> None:
        super().__init__()
        self.sent: list[requests.PreparedRequest] = []
        self.location = location

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        self.sent.append(request)
        response = requests.Response()
        response.status_code = 302 if len(self.sent) == 1 else 200
        response.headers["Location"] = self.location
        response.raw = io.BytesIO(b"{}")
        response.request, response.url = request, request.url or ""
        response.connection = self  # type: ignore[assignment]  # the stubs know of one adapter
        return response

    def close(self) -> None:
        """There is nothing to close."""


class Held:
    """A connection whose token never expires."""

    app = "default"
    generation = 1
    instance_url = INSTANCE
    renew: Any = None

    def bearer(self) -> str:
        return TOKEN


@claim(path=paths, location=urls)
def a_path_takes_the_token_to_the_instance_alone(path: str, location: str) -> None:
    wire = Recorder(location)
    with use_adapter(wire):
        try:
            Client(Held()).get(path)
        except (ValueError, requests.RequestException) as error:
            assert TOKEN not in str([error, error.__cause__, error.__context__, error.args])  # noqa: PT017
    for request in wire.sent:
        origin = wire_origin(request.url or "")
        if "Authorization" in request.headers:
            REACHED["request with the token"] += 1
            assert origin == ("https", "acme.my.salesforce.com", 443)
        else:
            REACHED["request without it"] += 1
    if wire.sent and not path.lower().startswith(("http:", "https:")):
        assert "Authorization" in wire.sent[0].headers  # a relative path leads nowhere else


@claim(query=callback_queries)
def a_callback_is_read_or_refused(query: str) -> None:
    said = read_callback(dict(QueryDict(query).lists()))
    REACHED[type(said).__name__] += 1
    if isinstance(said, CallbackCode):
        assert said.code not in repr(said).replace("CallbackCode", "")
        assert (said.code + said.state).isascii()
    elif not isinstance(said, CallbackMalformed):
        assert classify_authorize_error(said.error, said.description).reason


@claim(
    status=st.sampled_from([200, 200, 200, 201, 302, 400, 401, 403, 404, 429, 500, 503]),
    kind=content_types,
    body=bodies,
)
def a_token_answer_is_read_or_refused(status: int, kind: str, body: bytes) -> None:
    said = read_answer(status=status, content_type=kind, body=body, grant="refresh_token")
    REACHED[type(said).__name__] += 1
    if isinstance(said, Refusal):
        assert set(said.error) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
    else:
        assert said.access_token.isascii()
        assert "access_token" not in repr(said)
    assert read_api_failure(status=status, content_type=kind, body=body).code.isascii()


@claim(token=st.sampled_from(["eyJ.eyJ.sig", f"{ORG[:15]}!a", "00D000000000002!a"]), identity=identities, url=urls)
def a_refresh_adopts_no_foreign_instance(token: str, identity: str | None, url: str) -> None:
    answer = TokenAnswer(access_token=token, refresh_token="r", instance_url=url, id=identity)
    holder = grant(uuid=UUID(int=7), organization_id=ORG, instance_url="https://before.my.salesforce.com")
    if isinstance(of_its_org(holder, answer), Refusal):
        REACHED["foreign org"] += 1
        return
    adopted = token_values(holder, answer, get_app()).get("instance_url")
    if adopted is not None:
        REACHED["adopted instance"] += 1
        origin = wire_origin(adopted)
        assert origin is None or origin[1].endswith(SALESFORCE)
        assert token.startswith(ORG[:15]) or f"/id/{ORG[:15]}" in str(identity)


@claim(url=ways_back)
def the_way_back_stays_on_this_site(url: str) -> None:
    request: Any = SimpleNamespace(POST={"next": url}, get_host=lambda: SITE, is_secure=lambda: True)
    try:
        accepted = _next_url(request)
    except ConnectFailed:
        return
    if accepted:
        REACHED["way back"] += 1
        location = iri_to_uri(accepted)  # as the redirect says it
        assert browser_host(location, base_scheme="https", base_host=SITE) == SITE


@claim(text=urls)
def a_login_host_is_one_of_salesforce(text: str) -> None:
    url = _chosen_url(get_app(), text.strip())
    if url is not None:
        REACHED["login host"] += 1
        origin = wire_origin(url)
        assert origin is not None
        assert origin[1].endswith(".salesforce.com")


@claim(
    rest=urls, path=st.sampled_from(["", f"/id/{ORG}/005000000000001AAA", "/id/00D000000000001/005000000000001"])
)
def an_identity_names_the_host_that_it_is_on(rest: str, path: str) -> None:
    identity = parse_identity(rest + path)
    if identity is not None:
        REACHED["identity"] += 1
        origin = wire_origin(identity.url)
        assert origin is None or identity.host in {origin[1], f"{origin[1]}:{origin[2]}"}
