"""Keys that a provider supplies, and what a key may be."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import RequestFactory, override_settings
from django.views.debug import ExceptionReporter

from django_sf_oauth import keyring as keyring_module
from django_sf_oauth.exceptions import ConfigurationError, TokenUnreadable
from django_sf_oauth.fields import derived_keys, keyring, seal, unseal
from django_sf_oauth.models import ConnectionEvent, SalesforceConnection
from django_sf_oauth.testing import FakeSalesforce

from .factories import make_connection
from .test_checks import app

OLD, NEW = "the-key-of-last-year-0d3a7e91c5b2", "the-key-of-this-year-5b1f8c264e07"
ANSWER = "hunter2, said the vault"


class Vault:
    """Something that gives keys, and counts how often it was asked."""

    def __init__(self) -> None:
        self.keys: Any = [OLD]
        self.asked = 0
        self.is_down = False

    def __call__(self) -> Any:
        self.asked += 1
        if self.is_down:
            raise OSError(ANSWER)
        return self.keys


the_vault = Vault()


@pytest.fixture
def vault() -> Iterator[Vault]:
    vault = Vault()
    with override_settings(SALESFORCE_OAUTH=app(KEY_PROVIDER=vault), FERNET_KEYS=["of-other-fields"]):
        yield vault


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets the pause between two questions pass."""

    def pass_pause() -> None:
        monkeypatch.setattr(keyring_module, "PAUSE", 0.0)

    return pass_pause


def test_a_vault_is_asked_when_a_key_is_needed_and_only_once(vault: Vault) -> None:
    assert vault.asked == 0

    stored = seal("a token", "here")

    assert unseal(stored, "here") == "a token"
    assert vault.asked == 1


def test_keys_of_a_vault_open_what_the_same_keys_in_the_settings_sealed(vault: Vault) -> None:
    with override_settings(SALESFORCE_OAUTH=app(), FERNET_KEYS=[OLD]):
        stored = seal("a token", "here")

    assert unseal(stored, "here") == "a token"


def test_a_vault_may_be_named_by_its_dotted_path() -> None:
    with override_settings(SALESFORCE_OAUTH=app(KEY_PROVIDER="tests.test_keyring.the_vault")):
        assert len(keyring()) == 1


@pytest.mark.parametrize("order", [[NEW, OLD], [OLD, NEW]], ids=["as-newest", "as-older"])
def test_a_key_that_another_process_has_already_is_asked_for(vault: Vault, later: Any, order: list[str]) -> None:
    keyring()
    with override_settings(SALESFORCE_OAUTH=app(), FERNET_KEYS=[NEW]):
        stored = seal("a newer token", "here")
    keyring()
    vault.keys = order
    later()

    assert unseal(stored, "here") == "a newer token"


def test_garbage_in_the_table_does_not_storm_the_vault(vault: Vault) -> None:
    for number in range(20):
        with pytest.raises(TokenUnreadable):
            unseal(f"s1:{number:08}:x".encode(), "here")

    assert vault.asked == 1


def test_a_value_that_names_no_key_asks_nobody(vault: Vault, later: Any) -> None:
    later()

    with pytest.raises(TokenUnreadable):
        unseal(b"gAAAAA", "here")

    assert vault.asked == 0


def test_a_vault_that_is_down_takes_no_known_key_away(vault: Vault, later: Any) -> None:
    stored = seal("a token", "here")
    vault.is_down = True
    later()

    with pytest.raises(ConfigurationError):
        unseal(b"s1:00000000:x", "here")

    assert unseal(stored, "here") == "a token"


def test_a_vault_that_is_down_makes_no_token_unreadable(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    seal("a token", "here")
    vault.is_down = True
    monkeypatch.setattr(keyring_module, "PAUSE", -1.0)
    with pytest.raises(ConfigurationError) as first:
        unseal(b"s1:00000000:x", "here")
    monkeypatch.setattr(keyring_module, "PAUSE", 30.0)

    with pytest.raises(ConfigurationError) as again:
        unseal(b"s1:00000000:x", "here")

    assert first.value.code == again.value.code == "keys_unavailable"
    assert vault.asked == 2


@pytest.mark.django_db
def test_a_vault_that_is_down_sends_no_user_to_reconnect(
    fake_salesforce: FakeSalesforce, salesforce_connection: SalesforceConnection
) -> None:
    vault = Vault()
    vault.is_down = True
    with override_settings(SALESFORCE_OAUTH=app(KEY_PROVIDER=vault)), pytest.raises(ConfigurationError):
        SalesforceConnection.objects.get(pk=salesforce_connection.pk).refresh()

    assert SalesforceConnection.objects.get(pk=salesforce_connection.pk).status == "active"
    assert not ConnectionEvent.objects.filter(kind="reconnect_required").exists()
    assert fake_salesforce.token_requests == 0


def test_what_a_vault_answered_is_in_no_error(vault: Vault) -> None:
    vault.is_down = True

    try:
        keyring()
    except ConfigurationError as error:
        report = ExceptionReporter(RequestFactory().get("/"), *sys.exc_info()).get_traceback_text()
        told = f"{error!r} {error} {error.__cause__}"

    assert "hunter2" not in report
    assert "hunter2" not in told


@pytest.mark.parametrize(
    "keys", ["one text", b"one text", {OLD}, [], [OLD, None], [OLD, ""], [OLD, " "], None], ids=repr
)
def test_what_is_no_list_of_keys_seals_nothing(vault: Vault, keys: Any) -> None:
    vault.keys = keys

    with pytest.raises(ConfigurationError) as caught:
        seal("a token", "here")

    assert caught.value.code == "bad_keys"


@pytest.mark.parametrize("keys", ["one text", ["", OLD], [None]], ids=repr)
def test_keys_that_anybody_could_guess_seal_nothing(keys: Any) -> None:
    with override_settings(FERNET_KEYS=keys), pytest.raises(ConfigurationError, match="check"):
        seal("a token", "here")


def test_settings_that_are_no_mapping_name_no_provider() -> None:
    with override_settings(SALESFORCE_OAUTH=None):
        assert keyring()


def test_a_derived_key_is_of_one_key_and_one_purpose() -> None:
    with override_settings(FERNET_KEYS=[NEW, OLD]):
        audit, other = derived_keys("audit"), derived_keys("another purpose")
        ring = keyring()
    with override_settings(FERNET_KEYS=[OLD]):
        alone = derived_keys("audit")

    assert list(audit) == list(other) == list(ring)
    assert len({*audit.values(), *other.values()}) == 4
    assert alone.items() <= audit.items()
    assert {len(key) for key in audit.values()} == {32}


@pytest.mark.django_db
def test_a_row_is_read_with_keys_of_a_vault(vault: Vault) -> None:
    row = make_connection(access_token="00D000000000001!of-a-vault")

    token = SalesforceConnection.objects.get(pk=row.pk).access_token

    assert token is not None
    assert token.reveal() == "00D000000000001!of-a-vault"
