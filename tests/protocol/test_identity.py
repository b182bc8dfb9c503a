from __future__ import annotations

import pytest

from django_sf_oauth.protocol.identity import (
    Identity,
    parse_identity,
    sign,
    to_18,
    token_org_prefix,
    verify_signature,
)

# Computed with Python and with OpenSSL: none of the samples that Salesforce prints fits its sample secret.
SECRET = "0123456789ABCDEF" * 4
URL = "https://login.salesforce.com/id/00D000000000001EAA/005000000000001AAA"
ISSUED_AT = "1700000000000"
SIGNATURE = "iZyywartko6DPR84UgHB3aTBzNIYhblcaq9DPcGTFsU="


@pytest.mark.parametrize(
    ("id_15", "id_18"),
    [
        ("00D000000000001", "00D000000000001EAA"),
        ("005000000000001", "005000000000001AAA"),
        ("00Das00000BpsEX", "00Das00000BpsEXEAZ"),
        ("00B3F000000V1Uk", "00B3F000000V1UkUAK"),
        ("ABCDEFGHIJKLMNO", "ABCDEFGHIJKLMNO555"),
    ],
)
def test_an_id_of_15_characters_gets_its_checksum(id_15: str, id_18: str) -> None:
    assert to_18(id_15) == id_18
    assert to_18(id_18) == id_18


@pytest.mark.parametrize(
    "sf_id",
    [
        "",
        "00D00000000000",
        "00D0000000000012",
        "00D000000000001EA",
        "00D000000000001EAB",
        "00d000000000001EAA",
        "00D000000000001eaa",
        "00D000000000001EAAA",
        "00D00000000000-",
        "00D00000000000é",
        "00D00000000000\u0661",
        "00D000000000001\n",
    ],
)
def test_what_is_no_id_is_refused(sf_id: str) -> None:
    with pytest.raises(ValueError, match="15 or 18"):
        to_18(sf_id)


def test_ids_that_differ_in_case_only_get_different_checksums() -> None:
    assert to_18("00Das00000BpsEX").lower() != to_18("00Das00000bpsex").lower()


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (URL, "login.salesforce.com"),
        ("https://login.salesforce.com/id/00D000000000001/005000000000001", "login.salesforce.com"),
        ("http://127.0.0.1:8001/id/00D000000000001/005000000000001AAA", "127.0.0.1:8001"),
        ("https://Acme.my.salesforce.com/id/00D000000000001/005000000000001", "acme.my.salesforce.com"),
    ],
)
def test_an_identity_url_names_the_org_and_the_user(url: str, host: str) -> None:
    identity = parse_identity(url)

    assert identity == Identity(
        url=url, host=host, organization_id="00D000000000001EAA", user_id="005000000000001AAA"
    )


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://login.salesforce.com",
        "https://login.salesforce.com/id/00D000000000001EAA",
        f"{URL}/",
        f"{URL}?x",
        f"{URL}\n",
        "https://login.salesforce.com/id/005000000000001AAA/00D000000000001EAA",
        "https://login.salesforce.com/id/00D000000000001EAB/005000000000001AAA",
        "https://login.salesforce.com/id/00D000000000001EAA/005000000000001AAB",
        "https://login.salesforce.com/id/00D0000000000012/005000000000001AAA",
        "https://login.salesforce.com/x/id/00D000000000001EAA/005000000000001AAA",
        "https://evil.com@login.salesforce.com/id/00D000000000001EAA/005000000000001AAA",
        "https://login.salesforce.com:443/id/00D000000000001EAA/005000000000001AAA",
        "//login.salesforce.com/id/00D000000000001EAA/005000000000001AAA",
    ],
)
def test_what_is_no_identity_url_is_refused(url: str) -> None:
    assert parse_identity(url) is None


def test_the_signature_is_that_of_the_computed_vector() -> None:
    assert sign(SECRET, URL, ISSUED_AT) == SIGNATURE
    assert verify_signature(secrets=[SECRET], identity_url=URL, issued_at=ISSUED_AT, signature=SIGNATURE)


@pytest.mark.parametrize("secrets", [[SECRET, "older"], ["newest", SECRET]])
def test_either_secret_may_have_signed_during_a_rotation(secrets: list[str]) -> None:
    assert verify_signature(secrets=secrets, identity_url=URL, issued_at=ISSUED_AT, signature=SIGNATURE)


@pytest.mark.parametrize(
    "forged",
    [
        {"secrets": ["other"]},
        {"secrets": []},
        {"identity_url": URL.replace("EAA", "EAB")},
        # The same person, but Salesforce signed the longer spelling.
        {"identity_url": "https://login.salesforce.com/id/00D000000000001/005000000000001"},
        {"issued_at": "1700000000001"},
        {"issued_at": ""},
        {"signature": ""},
        {"signature": SIGNATURE.rstrip("=")},
        {"signature": SIGNATURE.lower()},
        {"signature": "é" + SIGNATURE[1:]},
        {"signature": "\ud800"},
        {"identity_url": "\ud800"},
    ],
    ids=repr,
)
def test_a_forged_signature_is_refused(forged: dict[str, object]) -> None:
    genuine = {
        "secrets": [SECRET],
        "identity_url": URL,
        "issued_at": ISSUED_AT,
        "signature": SIGNATURE,
    }

    assert not verify_signature(**{**genuine, **forged})  # type: ignore[arg-type]  # one table for four types


def test_an_empty_secret_signs_for_nobody() -> None:
    forged = sign("", URL, ISSUED_AT)

    assert not verify_signature(secrets=[""], identity_url=URL, issued_at=ISSUED_AT, signature=forged)


@pytest.mark.parametrize(
    ("token", "org"),
    [
        ("00Dx0000000BV7z!AR8AQP0jITN80ESEsj5EbaZT.Cju7m4", "00Dx0000000BV7z"),
        ("00D000000000001EAA!AQ0", "00D000000000001"),
        ("00D000000000001", None),
        ("00D00000000000!AQ0", None),
        ("005000000000001!AQ0", None),
        ("eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjF9.c2ln", None),
        ("", None),
    ],
)
def test_an_opaque_token_starts_with_its_org(token: str, org: str | None) -> None:
    assert token_org_prefix(token) == org
