"""What the mails say, and what they never say."""

from __future__ import annotations

from email import policy
from email.parser import BytesParser
from typing import Any

import pytest
from django.core import mail
from django.test import override_settings

from django_sf_oauth.conf import get_app
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import Hold, SalesforceConnection
from django_sf_oauth.models.event import ConnectionEvent
from django_sf_oauth.models.record import record
from django_sf_oauth.services.advice import ANY_REASON, RECONNECT
from django_sf_oauth.services.alerts import send_alerts
from django_sf_oauth.services.digest import send_digests
from django_sf_oauth.services.mail_links import page_url
from django_sf_oauth.services.mails import operators, reconnect_mail
from django_sf_oauth.services.notices import send_notices
from tests.factories import make_connection, make_user
from tests.fleet_guard.conftest import Clock
from tests.notices.conftest import WINDOW
from tests.test_checks import NO_URLS

pytestmark = pytest.mark.django_db


def flagged(**values: Any) -> SalesforceConnection:
    user = values.pop("user", None) or make_user(email="ada@example.com")
    return make_connection(user=user, **{"status": Status.RECONNECT_REQUIRED, "reason": "revoked", **values})


def parts_of(message: Any) -> tuple[str, str]:
    """The text and the HTML."""
    return message.body, message.alternatives[0][0]


def test_the_mail_says_what_happened_and_has_the_one_link_to_press() -> None:
    row = flagged(organization_name="Acme", username="ada@acme.example")

    message = reconnect_mail(row, get_app())

    link = f"https://crm.example.com/salesforce/#connection-{row.uuid}"
    assert message.subject == "Please connect Salesforce again: Acme"
    assert message.to == ["ada@example.com"]
    for part in parts_of(message):
        assert link in part
        assert str(RECONNECT["revoked"]) in part
        assert "ada@acme.example" in part
        assert "/unsubscribe/" in part


@pytest.mark.parametrize("reason", [*RECONNECT, "unknown"])
def test_each_reason_has_plain_words(reason: str) -> None:
    text, html = parts_of(reconnect_mail(flagged(reason=reason), get_app()))

    words = str(RECONNECT.get(reason, ANY_REASON))
    assert words in text
    assert words in html


def test_a_sandbox_is_named_and_a_missing_username_left_out() -> None:
    text, html = parts_of(reconnect_mail(flagged(is_sandbox=True, username=""), get_app()))

    assert "Sandbox" in html
    assert "()" not in text


def test_the_text_is_text_and_the_html_is_escaped() -> None:
    row = flagged(organization_name="<b>Fish & Chips</b>")

    text, html = parts_of(reconnect_mail(row, get_app()))

    assert "<b>Fish & Chips</b>" in text
    assert "&lt;b&gt;Fish &amp; Chips&lt;/b&gt;" in html
    assert "<b>Fish" not in html


def test_the_name_of_an_organization_begins_no_other_header() -> None:
    row = flagged(organization_name="Acme\r\nBcc: everybody@example.com")

    sent = BytesParser(policy=policy.default).parsebytes(reconnect_mail(row, get_app()).message().as_bytes())

    assert "Bcc" not in sent
    assert sent["Subject"] == "Please connect Salesforce again: Acme Bcc: everybody@example.com"


def sent_by_smtp(message: Any) -> bytes:
    """As Django's SMTP backend puts it on the wire, but for the line ends."""
    lines: bytes = message.message(policy=policy.SMTP).as_bytes().replace(b"\r\n", b"\n")
    return lines


def test_a_mail_program_finds_the_way_to_unsubscribe_in_whole_headers() -> None:
    sent = sent_by_smtp(reconnect_mail(flagged(), get_app()))

    unfolded = sent.partition(b"\n\n")[0].replace(b"\n ", b" ").split(b"\n")
    lines = [b" ".join(line.split()) for line in unfolded]
    (link,) = [line for line in lines if line.startswith(b"List-Unsubscribe: ")]
    assert link.startswith(b"List-Unsubscribe: <https://crm.example.com/salesforce/unsubscribe/")
    assert link.endswith(b"/>")
    assert b"=?" not in link
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in lines
    assert b"Auto-Submitted: auto-generated" in lines


def test_mails_are_in_the_language_of_the_site() -> None:
    with override_settings(LANGUAGE_CODE="de", LANGUAGES=[("de", "German")]):
        html = parts_of(reconnect_mail(flagged(), get_app()))[1]

    assert '<html lang="de">' in html


def test_no_mail_holds_a_token_or_a_secret(clock: Clock, settings: Any) -> None:
    settings.SALESFORCE_OAUTH = {
        **settings.SALESFORCE_OAUTH,
        "DIGEST": "ops@example.com",
        "ALERTS": "ops@example.com",
    }
    row = flagged(access_token="00D000000000001!planted-access", refresh_token="5Aep861.planted-refresh")
    record(row, ConnectionEvent.Kind.RECONNECT_REQUIRED, reason="revoked")
    Hold.objects.create(scope="alarm:default", reason="invalid_client", until=clock.now() + 2 * WINDOW)
    clock.ahead += WINDOW

    counts = [send_notices(), send_digests(), send_alerts()]

    said = b"\n".join(message.message().as_bytes() for message in mail.outbox).decode()
    said += "".join(part for message in mail.outbox for part in parts_of(message))
    secrets = ["planted", settings.SALESFORCE_OAUTH["CLIENT_SECRET"], *settings.FERNET_KEYS, settings.SECRET_KEY]
    assert counts == [{"sent": 1}] * 3
    assert [secret for secret in secrets if secret in said] == []
    assert [word for word in said.split() if "crm.example.com" in word and "?" in word] == []


def test_a_template_gets_values_and_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def render(name: str, context: dict[str, Any]) -> str:
        given.extend(context.values())
        return ""

    monkeypatch.setattr("django_sf_oauth.services.mails.render_to_string", render)

    reconnect_mail(flagged(), get_app())

    assert not any(isinstance(value, SalesforceConnection) for value in given)


def test_no_link_is_made_without_an_address_or_without_the_pages(settings: Any) -> None:
    with override_settings(ROOT_URLCONF=NO_URLS):
        without_pages = page_url(get_app(), "connections")
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, "SITE_URL": ""}

    assert (without_pages, page_url(get_app(), "connections")) == ("", "")


@pytest.mark.parametrize(
    "managers", [["boss@example.com"], [("Boss", "boss@example.com")]], ids=["addresses", "pairs"]
)
def test_operators_are_addresses_or_those_of_django(managers: Any) -> None:
    with override_settings(MANAGERS=managers, ADMINS=[]):
        found = operators(["ops@example.com", "MANAGERS", "ADMINS", "boss@example.com"])

    assert found == ["ops@example.com", "boss@example.com"]
