"""Mails off and on: the link in the mail, and the button on the page."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.signing import Signer
from django.test import Client, override_settings
from django.urls import reverse

from django_sf_oauth.conf import get_app
from django_sf_oauth.models import MailOptOut
from django_sf_oauth.services.mail_links import SALT, unsubscribe_url
from django_sf_oauth.services.opting_out import is_told, set_told
from tests.factories import make_user
from tests.journey import signed_in_client

pytestmark = pytest.mark.django_db

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def user() -> Any:
    return make_user(email="ada@example.com")


def link_of(user: Any) -> str:
    return unsubscribe_url(get_app(), user).removeprefix("https://crm.example.com")


def test_the_link_asks_and_a_link_scanner_ends_nothing(user: Any) -> None:
    pages = [getattr(Client(), method)(link_of(user)) for method in ("get", "head")]

    assert [page.status_code for page in pages] == [200, 200]
    assert "No more mails" in pages[0].content.decode()
    assert is_told(user)


def test_a_mail_program_ends_the_mails_in_one_step_without_a_cookie(user: Any) -> None:
    client = Client(enforce_csrf_checks=True)

    answers = [client.post(link_of(user), ONE_CLICK) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert not is_told(user)
    assert not client.cookies


def test_the_answer_is_kept_by_nobody_and_names_its_link_to_nobody(user: Any) -> None:
    answer = Client().get(link_of(user))

    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("forge", ["cut", "other user", "other salt", "unsigned", "other key"])
def test_a_link_cannot_be_forged(user: Any, forge: str, method: str) -> None:
    other = make_user()
    token = Signer(salt=SALT).sign_object(str(user.pk))
    signature = token.partition(":")[2]
    payload = Signer(salt=SALT).sign_object(str(other.pk)).partition(":")[0]
    forged = {
        "cut": token[:-1],
        "other user": f"{payload}:{signature}",
        "other salt": Signer(salt="something else").sign_object(str(user.pk)),
        "unsigned": str(user.pk),
        "other key": Signer(key="guessed", salt=SALT).sign_object(str(user.pk)),
    }[forge]

    answer = getattr(Client(), method)(reverse("sf_oauth:unsubscribe", args=[forged]))

    assert answer.status_code == 404
    assert "This link does not work" in answer.content.decode()
    assert not MailOptOut.objects.exists()


def test_the_link_opens_nothing_else(user: Any) -> None:
    client = Client()
    client.post(link_of(user))

    answer = client.get(reverse("sf_oauth:connections"))

    assert answer.status_code == 302
    assert "sessionid" not in client.cookies


def test_the_link_of_a_user_who_is_gone_ends_nothing(user: Any) -> None:
    link = link_of(user)
    user.delete()

    assert Client().post(link).status_code == 404


def test_the_link_outlives_a_change_of_the_secret_key(user: Any) -> None:
    link = link_of(user)

    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["only-for-tests"]):
        answer = Client().post(link)

    assert answer.status_code == 200
    assert not is_told(user)


# The button


def test_the_page_switches_mails_off_and_on_again(user: Any) -> None:
    client = signed_in_client(user)
    home = reverse("sf_oauth:connections")

    before = client.get(home).content.decode()
    off = client.post(reverse("sf_oauth:mails"), {"told": "no"}, follow=True).content.decode()
    was_told = is_told(user)
    on = client.post(reverse("sf_oauth:mails"), {"told": "yes"}, follow=True).content.decode()

    assert "this site writes to ada@example.com" in before
    assert "Write to me again" in off
    assert "No more mails" in on
    assert (was_told, is_told(user)) == (False, True)


def test_the_button_belongs_to_the_user_who_is_signed_in(user: Any) -> None:
    other = make_user(email="grace@example.com")

    signed_in_client(user).post(reverse("sf_oauth:mails"), {"told": "no", "user": str(other.pk)})

    assert (is_told(user), is_told(other)) == (False, True)


def test_another_site_cannot_press_the_button(user: Any) -> None:
    client = signed_in_client(user, enforce_csrf_checks=True)

    answer = client.post(reverse("sf_oauth:mails"), {"told": "no"})

    assert answer.status_code == 403
    assert is_told(user)


@pytest.mark.parametrize(
    ("lacking", "email"),
    [({}, ""), ({"SITE_URL": ""}, "ada@example.com"), ({"NOTIFY_USERS": False}, "ada@example.com")],
    ids=["no address", "no site url", "switched off"],
)
def test_the_page_offers_no_mails_that_would_not_come(lacking: dict[str, Any], email: str, settings: Any) -> None:
    settings.SALESFORCE_OAUTH = {**settings.SALESFORCE_OAUTH, **lacking}
    user = make_user(email=email)

    page = signed_in_client(user).get(reverse("sf_oauth:connections")).content.decode()

    assert reverse("sf_oauth:mails") not in page


def test_opting_out_twice_is_opting_out_and_ends_with_the_user(user: Any) -> None:
    for _ in range(2):
        set_told(user, False)
    out = MailOptOut.objects.get()

    user.delete()

    assert str(out) == str(out.pk)
    assert not MailOptOut.objects.exists()
