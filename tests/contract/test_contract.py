"""The transport against an authorization server that nobody here wrote: node-oidc-provider.

The client and the fake Salesforce of this package share oauthlib. What both got wrong in the same way would pass
every other test, and fails here.
"""

from __future__ import annotations

import re
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests

from django_sf_oauth import transport
from django_sf_oauth.conf import AppSettings
from django_sf_oauth.protocol.authorize import AuthorizationRequest, CallbackCode, code_challenge, read_callback
from django_sf_oauth.protocol.errors import Refusal
from django_sf_oauth.protocol.tokens import TokenAnswer
from django_sf_oauth.transport import Introspection, Revoked
from tests.ci import IN_CI

HERE = Path(__file__).parent
REDIRECT_URI = "http://127.0.0.1:9/callback"
START_WITHIN = 30  # seconds

pytestmark = pytest.mark.skipif(
    not (HERE / "node_modules").exists() and not IN_CI,
    reason="needs Node.js and, once, `npm install --prefix tests/contract`",
)


@dataclass(frozen=True, kw_only=True)
class Peer:
    url: str
    app: AppSettings

    def authorize(self, verifier: str) -> str:
        """Signs in and consents on the peer's own pages, as a browser would; returns the code."""
        state = secrets.token_urlsafe(16)
        request = AuthorizationRequest(
            login_url=self.url,
            client_id=self.app.client_id,
            redirect_uri=REDIRECT_URI,
            scopes=("openid", "offline_access"),
            state=state,
            code_challenge=code_challenge(verifier),
            prompt="consent",
        )
        callback = self._follow(requests.Session(), request.url())
        read = read_callback(parse_qs(urlsplit(callback).query))
        assert isinstance(read, CallbackCode)
        assert read.state == state
        return read.code

    def _follow(self, browser: requests.Session, url: str) -> str:
        answer = browser.get(url, allow_redirects=False, timeout=10)
        while not (target := urljoin(answer.url, answer.headers.get("Location", ""))).startswith(REDIRECT_URI):
            if answer.is_redirect:
                answer = browser.get(target, allow_redirects=False, timeout=10)
            else:
                answer = self._submit(browser, answer)
        return target

    def _submit(self, browser: requests.Session, page: requests.Response) -> requests.Response:
        action = re.search(r'<form[^>]* action="([^"]+)"', page.text)
        assert action is not None, page.status_code
        prompt = re.search(r'name="prompt" value="(\w+)"', page.text)
        assert prompt is not None
        form = {"prompt": prompt[1], "login": "ada", "password": "any"}
        return browser.post(urljoin(page.url, action[1]), data=form, allow_redirects=False, timeout=10)

    def exchange(self, code: str, verifier: str) -> TokenAnswer | Refusal:
        return transport.exchange_code(
            self.app, login_url=self.url, code=code, code_verifier=verifier, redirect_uri=REDIRECT_URI
        )

    def refresh(self, token: str | None) -> TokenAnswer | Refusal:
        assert token is not None
        return transport.refresh(self.app, login_url=self.url, refresh_token=token)

    def connect(self) -> TokenAnswer:
        verifier = secrets.token_urlsafe(64)
        answer = self.exchange(self.authorize(verifier), verifier)
        assert isinstance(answer, TokenAnswer)
        return answer


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(  # noqa: S603  # our own file, our own arguments
        ["node", "peer.mjs", str(port), REDIRECT_URI],  # noqa: S607  # whichever node is installed
        cwd=HERE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        yield Peer(
            url=f"http://127.0.0.1:{port}",
            app=AppSettings(
                alias="contract",
                client_id="contract-client",
                client_secret="contract-secret",
                trusted_hosts=(f"127.0.0.1:{port}",),
            ),
        )
    finally:
        process.terminate()
        process.wait(timeout=10)


def wait_for(port: int) -> None:
    give_up = time.monotonic() + START_WITHIN
    while not listens(port):
        assert time.monotonic() < give_up, "The peer did not start."
        time.sleep(0.1)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_code_is_exchanged_with_pkce_and_secret(peer: Peer) -> None:
    answer = peer.connect()

    assert answer.access_token
    assert answer.refresh_token
    assert set(answer.scopes or ()) == {"openid", "offline_access"}
    assert answer.expires_in is not None


def test_another_verifier_is_refused(peer: Peer) -> None:
    code = peer.authorize(secrets.token_urlsafe(64))

    answer = peer.exchange(code, secrets.token_urlsafe(64))

    assert isinstance(answer, Refusal)
    assert answer.error == "invalid_grant"


def test_a_replayed_code_is_refused(peer: Peer) -> None:
    verifier = secrets.token_urlsafe(64)
    code = peer.authorize(verifier)

    first, second = peer.exchange(code, verifier), peer.exchange(code, verifier)

    assert isinstance(first, TokenAnswer)
    assert isinstance(second, Refusal)


def test_each_refresh_rotates_and_the_new_token_goes_on(peer: Peer) -> None:
    tokens = [peer.connect()]
    for _turn in range(3):
        renewed = peer.refresh(tokens[-1].refresh_token)
        assert isinstance(renewed, TokenAnswer)
        tokens.append(renewed)

    assert len({one.refresh_token for one in tokens}) == 4


def test_replaying_a_rotated_token_is_refused_and_ends_the_family(peer: Peer) -> None:
    old = peer.connect()
    new = peer.refresh(old.refresh_token)
    assert isinstance(new, TokenAnswer)

    replay, after = peer.refresh(old.refresh_token), peer.refresh(new.refresh_token)

    assert isinstance(replay, Refusal)
    assert isinstance(after, Refusal)


def test_a_revoked_token_no_longer_refreshes(peer: Peer) -> None:
    tokens = peer.connect()
    assert tokens.refresh_token is not None

    revoked = transport.revoke(peer.app, login_url=peer.url, token=tokens.refresh_token)

    assert isinstance(revoked, Revoked)
    assert isinstance(peer.refresh(tokens.refresh_token), Refusal)


def test_introspection_tells_a_live_token_from_a_dead_one(peer: Peer) -> None:
    tokens = peer.connect()

    def look(token: str) -> Introspection | Refusal:
        return transport.introspect(peer.app, login_url=peer.url, token=token, token_type_hint="access_token")

    alive, dead = look(tokens.access_token), look("no-such-token")

    assert isinstance(alive, Introspection)
    assert isinstance(dead, Introspection)
    assert (alive.active, dead.active) == (True, False)


def test_the_next_secret_is_tried_when_the_newest_is_refused(peer: Peer) -> None:
    tokens = peer.connect()
    rotating = AppSettings(
        alias="rotating",
        client_id="contract-client",
        client_secret=["not-yet-known", "contract-secret"],
        trusted_hosts=peer.app.trusted_hosts,
    )
    assert tokens.refresh_token is not None

    answer = transport.refresh(rotating, login_url=peer.url, refresh_token=tokens.refresh_token)

    assert isinstance(answer, TokenAnswer)
