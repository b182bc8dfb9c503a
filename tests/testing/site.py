"""A client of the fake that uses nothing of the package: plain requests, as any other library would send."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests

from django_sf_oauth.testing import FakeSalesforce

LOGIN = "https://login.salesforce.com"
CALLBACK = "https://site.example/salesforce/callback/"
VERIFIER = "v3r1f13r_" * 8


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


class Site(requests.Session):
    """A session whose https goes to the fake."""

    def __init__(self, fake: FakeSalesforce) -> None:
        super().__init__()
        self.fake = fake
        self.trust_env = False
        self.mount("https://", fake.adapter())

    @property
    def credentials(self) -> dict[str, str]:
        return {"client_id": self.fake.app.client_id, "client_secret": self.fake.app.secrets[0]}

    def authorize_url(self, base: str = LOGIN, /, **changed: str | None) -> str:
        asked: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.fake.app.client_id,
            "redirect_uri": CALLBACK,
            "scope": "api refresh_token openid",
            "state": "st4te",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
            **changed,
        }
        sent = {name: value for name, value in asked.items() if value is not None}
        return f"{base}/services/oauth2/authorize?{urlencode(sent)}"

    def code(self, base: str = LOGIN, /, **changed: str | None) -> str:
        return query_of(self.fake.authorize(self.authorize_url(base, **changed)))["code"]

    def exchange(self, code: str | None, base: str = LOGIN, /, **changed: str | None) -> requests.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            **self.credentials,
            **changed,
        }
        return self.post(f"{base}/services/oauth2/token", data=form)

    def refresh(self, refresh_token: str, base: str = LOGIN, /, **changed: str | None) -> requests.Response:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, **self.credentials, **changed}
        return self.post(f"{base}/services/oauth2/token", data=form)

    def revoke(self, token: str, base: str = LOGIN, /, **headers: str) -> requests.Response:
        return self.post(f"{base}/services/oauth2/revoke", data={"token": token}, headers=headers)

    def introspect(self, token: str, **changed: str) -> requests.Response:
        return self.post(
            f"{LOGIN}/services/oauth2/introspect", data={"token": token, **self.credentials, **changed}
        )

    def call(self, answer: dict[str, Any], path: str = "/services/data/v66.0/limits") -> requests.Response:
        """A REST call with the tokens of an answer."""
        headers = {"Authorization": f"Bearer {answer['access_token']}"}
        return self.get(f"{answer['instance_url']}{path}", headers=headers)

    def lives(self, answer: dict[str, Any]) -> bool:
        return self.call(answer).status_code == 200
