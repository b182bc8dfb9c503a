from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
import requests

from django_sf_oauth.protocol.identity import sign, verify_signature
from django_sf_oauth.testing import FakeSalesforce
from django_sf_oauth.testing.http import Request

from .site import LOGIN, Site, challenge_of


def said(response: requests.Response) -> tuple[int, str, str]:
    body = response.json()
    return response.status_code, body["error"], body["error_description"]


def test_the_answer_is_salesforces_and_never_says_expires_in(fake: FakeSalesforce, site: Site) -> None:
    answer = site.exchange(site.code())

    body = answer.json()
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert sorted(body) == [
        "access_token",
        "id",
        "instance_url",
        "issued_at",
        "refresh_token",
        "scope",
        "signature",
        "token_type",
    ]
    assert body["access_token"].startswith(f"{fake.org.id[:15]}!")
    assert body["id"] == f"{LOGIN}/id/{fake.org.id}/{fake.user.id}"
    assert body["instance_url"] == "https://acme-outdoor.my.salesforce.com"
    assert body["issued_at"] == "1700000000000"
    assert body["scope"] == "api refresh_token openid"
    assert body["token_type"] == "Bearer"


def test_the_signature_is_made_with_the_consumer_secret(fake: FakeSalesforce, site: Site) -> None:
    body = site.exchange(site.code()).json()

    assert verify_signature(
        secrets=fake.app.secrets,
        identity_url=body["id"],
        issued_at=body["issued_at"],
        signature=body["signature"],
    )


def test_while_a_secret_is_rotated_the_one_that_was_sent_signs(fake: FakeSalesforce, site: Site) -> None:
    old = fake.app.secrets[0]
    fake.rotate_secret("the-new-secret")

    body = site.exchange(site.code(), client_secret=old).json()

    assert body["signature"] == sign(old, body["id"], body["issued_at"])


def test_without_the_refresh_scope_no_refresh_token_comes(fake: FakeSalesforce, site: Site) -> None:
    assert "refresh_token" not in site.exchange(site.code(scope="api")).json()
    assert "refresh_token" not in fake.issue(scopes=["api"])


def test_tokens_issued_directly_look_like_those_of_an_exchange(fake: FakeSalesforce, site: Site) -> None:
    exchanged, issued = site.exchange(site.code()).json(), fake.issue()

    assert issued.keys() == exchanged.keys()
    assert issued["signature"] == exchanged["signature"]


def test_a_code_is_good_once(site: Site) -> None:
    code = site.code()
    site.exchange(code)

    assert said(site.exchange(code)) == (400, "invalid_grant", "expired authorization code")


def test_a_code_is_good_for_fifteen_minutes(fake: FakeSalesforce, site: Site) -> None:
    timely, late = site.code(), site.code()
    fake.advance(15 * 60)
    assert site.exchange(timely).status_code == 200

    fake.advance(1)

    assert said(site.exchange(late)) == (400, "invalid_grant", "expired authorization code")


@pytest.mark.parametrize(
    ("changed", "error", "description"),
    [
        pytest.param({"code": "aPrxUnknown=="}, "invalid_grant", "invalid authorization code", id="unknown code"),
        pytest.param({"code": None}, "invalid_request", "Missing code parameter.", id="no code"),
        pytest.param({"code_verifier": "w" * 64}, "invalid_grant", "invalid code verifier", id="wrong verifier"),
        pytest.param({"code_verifier": None}, "invalid_grant", "invalid code verifier", id="no verifier"),
        pytest.param(
            {"redirect_uri": "https://site.example/other/"},
            "redirect_uri_mismatch",
            "redirect_uri must match configuration",
            id="another redirect",
        ),
        pytest.param(
            {"redirect_uri": None}, "redirect_uri_missing", "missing required redirect_uri", id="no redirect"
        ),
        pytest.param(
            {"client_id": "3MVG9.unknown"}, "invalid_client_id", "client identifier invalid", id="unknown client"
        ),
        pytest.param(
            {"client_secret": "wrong"}, "invalid_client", "invalid client credentials", id="wrong secret"
        ),
        pytest.param({"client_secret": None}, "invalid_client", "invalid client credentials", id="no secret"),
        pytest.param({"grant_type": "password"}, "unsupported_grant_type", "grant type not supported", id="grant"),
    ],
)
def test_a_wrong_exchange_is_refused_in_salesforces_words(
    site: Site, changed: dict[str, str | None], error: str, description: str
) -> None:
    code = site.code()

    form: dict[str, str | None] = {"code": code, **changed}

    assert said(site.exchange(form.pop("code"), **form)) == (400, error, description)


def test_a_tilde_in_the_verifier_is_refused_although_rfc_7636_allows_it(site: Site) -> None:
    verifier = "~" * 64
    code = site.code(code_challenge=challenge_of(verifier))

    assert said(site.exchange(code, code_verifier=verifier))[2] == "invalid code verifier"


def test_a_verifier_without_a_challenge_is_unexpected(site: Site) -> None:
    code = site.code(code_challenge=None, code_challenge_method=None)

    assert said(site.exchange(code)) == (400, "invalid_grant", "unexpected code verifier")


def test_without_pkce_the_exchange_works_where_the_app_allows_it(site: Site) -> None:
    code = site.code(code_challenge=None, code_challenge_method=None)

    assert site.exchange(code, code_verifier=None).status_code == 200


def test_a_stolen_code_is_useless_to_another_app(fake: FakeSalesforce, site: Site) -> None:
    fake.add_app("3MVG9.thief", "thiefs-secret")

    stolen = site.exchange(site.code(), client_id="3MVG9.thief", client_secret="thiefs-secret")

    assert said(stolen) == (400, "invalid_grant", "invalid authorization code")


def test_a_code_is_good_only_at_the_host_that_gave_it(fake: FakeSalesforce, site: Site) -> None:
    answer = site.exchange(site.code(), "https://acme-outdoor.my.salesforce.com")

    assert said(answer) == (400, "invalid_grant", "invalid authorization code")


def test_the_secret_may_come_in_a_basic_header(fake: FakeSalesforce, site: Site) -> None:
    pair = f"{quote(fake.app.client_id)}:{quote(fake.app.secrets[0])}"
    headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    form = {"grant_type": "refresh_token", "refresh_token": fake.issue()["refresh_token"]}

    answer = site.post(f"{LOGIN}/services/oauth2/token", data=form, headers=headers)

    assert answer.status_code == 200


def test_a_secret_that_is_sent_is_validated_even_where_none_is_required(fake: FakeSalesforce, site: Site) -> None:
    fake.app.secret_required = False
    right = site.code()

    assert said(site.exchange(right, client_secret="wrong"))[1] == "invalid_client"
    assert site.exchange(right, client_secret=None).status_code == 200


def test_a_public_client_gets_a_signature_that_nobody_can_verify(fake: FakeSalesforce, site: Site) -> None:
    fake.add_app("3MVG9.public", None)
    code = site.code(client_id="3MVG9.public")

    body = site.exchange(code, client_id="3MVG9.public", client_secret=None).json()

    assert body["signature"] not in {sign("", body["id"], body["issued_at"])}
    assert body["access_token"]


def test_a_query_in_the_url_of_the_token_endpoint_is_refused(fake: FakeSalesforce, site: Site) -> None:
    answer = site.post(f"{LOGIN}/services/oauth2/token?x=1", data={"grant_type": "refresh_token"})

    assert said(answer)[:2] == (400, "invalid_request")


def test_a_malformed_query_of_the_token_endpoint_is_refused(fake: FakeSalesforce) -> None:
    answer = fake.handle(Request(method="POST", url=f"{LOGIN}/services/oauth2/token?<x>"))

    assert (answer.status, answer.error, answer.detail) == (400, "invalid_request", "malformed request")


def test_an_approval_revoked_before_the_exchange_gives_nothing(fake: FakeSalesforce, site: Site) -> None:
    code = site.code()
    fake.revoke()

    assert said(site.exchange(code))[1] == "invalid_grant"
