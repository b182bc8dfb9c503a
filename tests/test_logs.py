from __future__ import annotations

import logging

import pytest

from django_sf_oauth.logs import SecretFilter, hide_secrets_in_logs

ACCESS = "00D000000000001!planted-access-token"


@pytest.mark.parametrize(
    ("message", "arguments", "shown"),
    [
        pytest.param("Obtained token %s.", (ACCESS,), "Obtained token •••.", id="string"),
        pytest.param("%r of %d", (ACCESS, 7), "••• of •••", id="repr"),
        pytest.param("%(token)s %5.2f", ({"token": ACCESS},), "••• •••", id="mapping"),
        pytest.param("No token.", (), "No token.", id="nothing-filled-in"),
    ],
)
def test_filter_keeps_the_text_and_hides_what_was_filled_in(
    message: str, arguments: tuple[object, ...], shown: str
) -> None:
    record = logging.LogRecord("oauthlib", logging.DEBUG, "", 0, message, arguments, None)

    kept = SecretFilter().filter(record)

    assert kept
    assert record.getMessage() == shown
    assert not record.args


def test_filter_is_installed_once() -> None:
    hide_secrets_in_logs()
    hide_secrets_in_logs()

    filters = logging.getLogger("requests_oauthlib.oauth2_session").filters
    assert len([each for each in filters if isinstance(each, SecretFilter)]) == 1
