"""The commands of the runbook run, in its order, against a fake Salesforce, and do what the page says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands

from django_sf_oauth.models import ConnectionEvent, Hold, PendingRevocation, SalesforceConnection
from django_sf_oauth.services import revoking
from django_sf_oauth.testing import FakeSalesforce
from tests.commands.conftest import Ran, run
from tests.fleet import connect_many
from tests.pages import page

__all__ = ["run"]

pytestmark = pytest.mark.django_db

RUNBOOK = "docs/how-to/respond-to-an-incident.md"
LINE = re.compile(r"^ *python manage\.py (sf_oauth_.+)$", re.MULTILINE)

Section = Callable[[str], list[Ran]]


def commands_under(title: str) -> list[list[str]]:
    """What a section of the page says to run, as words."""
    return [shlex.split(line) for line in LINE.findall(section(title))]


def section(title: str) -> str:
    return page(RUNBOOK).partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.fixture
def rows(fake_salesforce: FakeSalesforce) -> list[SalesforceConnection]:
    return connect_many(fake_salesforce, 3)


@pytest.fixture
def follow(
    run: Callable[..., Ran],
    rows: list[SalesforceConnection],
    fake_salesforce: FakeSalesforce,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Section:
    """Runs a section as an operator does, with the names of that day."""
    monkeypatch.chdir(tmp_path)
    token = rows[0].refresh_token
    Path("found.txt").write_text(token.reveal() if token else "", encoding="utf-8")
    names = {
        "UUID": str(rows[0].uuid),
        "ada": rows[0].user.get_username(),
        "00D000000000001": fake_salesforce.org.id,
        "org:00D000000000001": f"org:{fake_salesforce.org.id}",
    }

    def follow(title: str) -> list[Ran]:
        return [run(*_named(words, names)) for words in commands_under(title)]

    return follow


def _named(words: list[str], names: Mapping[str, str]) -> list[str]:
    asks = {"sf_oauth_holds": ["--yes"]}.get(words[0], [])
    return [names.get(word, word) for word in words] + asks


def alive(fake: FakeSalesforce) -> int:
    return len(list(fake.world.live_approvals()))


def test_the_page_names_no_command_that_is_not_there() -> None:
    words = [shlex.split(line) for line in LINE.findall(page(RUNBOOK))]

    assert len(words) >= 20
    assert {name for name, *_ in words} <= set(get_commands())


def test_stop(follow: Section, fake_salesforce: FakeSalesforce) -> None:
    stopped, listed, released = follow("First of all: stop")

    assert [ran.code for ran in (stopped, listed, released)] == [0, 0, 0]
    assert "all: incident 4711 by " in listed.out
    assert not Hold.objects.exists()
    assert alive(fake_salesforce) == 3


def test_end_grants(follow: Section, fake_salesforce: FakeSalesforce) -> None:
    revoked, pending, listed, waiting = follow("End grants")

    assert revoked.out == "revoked: 3\n"
    assert (pending.code, listed.out, waiting.out) == (0, "", "to revoke: 0\n")
    assert alive(fake_salesforce) == 0
    kinds = sorted(ConnectionEvent.objects.values_list("kind", flat=True))
    assert kinds == ["disconnected"] * 3 + ["revoked"] * 3


def test_end_grants_while_salesforce_is_down(follow: Section, fake_salesforce: FakeSalesforce) -> None:
    fake_salesforce.maintenance = True

    revoked, pending, listed, waiting = follow("End grants")

    assert (revoked.code, revoked.out) == (1, "pending: 3\n")
    assert (pending.code, listed.out, waiting.out) == (1, "", "to revoke: 3\n")
    fake_salesforce.maintenance = False
    assert revoking.revoke_pending(everything=True) == {"revoked": 3}
    assert alive(fake_salesforce) == 0


def test_a_token_has_leaked(follow: Section, fake_salesforce: FakeSalesforce) -> None:
    *_, revoked = follow("A token has leaked")

    assert (revoked.code, revoked.out) == (0, "revoked: 1\n")
    assert alive(fake_salesforce) == 2


def test_the_database_has_leaked(follow: Section, fake_salesforce: FakeSalesforce, settings: Any) -> None:
    settings.FERNET_KEYS = ["a-new-key-of-that-day-41c7f9ab60e2", *settings.FERNET_KEYS]

    *_, listed = follow("The database has leaked")

    settings.FERNET_KEYS = settings.FERNET_KEYS[:1]
    assert (listed.code, listed.out) == (0, "")
    assert alive(fake_salesforce) == 3


def test_an_encryption_key_has_leaked(follow: Section, fake_salesforce: FakeSalesforce, settings: Any) -> None:
    settings.FERNET_KEYS = ["a-new-key-of-that-day-41c7f9ab60e2", *settings.FERNET_KEYS]

    ran = follow("An encryption key has leaked")

    assert ran[1].out == "revoked: 3\n"
    assert not Hold.objects.exists()
    assert not PendingRevocation.objects.exists()
    assert alive(fake_salesforce) == 0


@pytest.mark.parametrize("title", ["The database has leaked", "An encryption key has leaked"])
def test_a_new_key_is_known_everywhere_before_anything_is_sealed_with_it(title: str) -> None:
    """Else a process that was not restarted yet tells users to connect again."""
    before, rotates, _ = section(title).partition("sf_oauth_rotate_keys")

    assert rotates
    assert "rotate-keys.md#in-four-steps" in before


def test_the_consumer_secret_has_leaked(follow: Section, fake_salesforce: FakeSalesforce, settings: Any) -> None:
    old = settings.SALESFORCE_OAUTH["CLIENT_SECRET"]
    fake_salesforce.rotate_secret("the-new-one-9f2c44d1", keep_old=True)
    both = {**settings.SALESFORCE_OAUTH, "CLIENT_SECRET": ["the-new-one-9f2c44d1", old], "APPS": {}}
    settings.SALESFORCE_OAUTH = both
    fake_salesforce.rotate_secret("the-new-one-9f2c44d1", keep_old=False)

    checked, refreshed = follow("The consumer secret has leaked")

    assert (checked.code, refreshed.code) == (0, 0)
    assert refreshed.out == "renewed: 3\n"


def test_an_organization_is_in_trouble(follow: Section, fake_salesforce: FakeSalesforce) -> None:
    (other,) = connect_many(fake_salesforce, 1, organization_id="00D000000000009EAA")

    stopped, revoked = follow("An organization is in trouble")

    assert (stopped.code, revoked.out) == (0, "revoked: 3\n")
    assert [hold.reason for hold in Hold.objects.all()] == ["asked by Acme"]
    assert other.bearer()


def test_an_administrator_cannot_be_trusted(follow: Section, fake_salesforce: FakeSalesforce) -> None:
    revoked, *_ = follow("An administrator of your site cannot be trusted")

    assert (revoked.code, revoked.out) == (0, "revoked: 1\n")
    assert alive(fake_salesforce) == 2
