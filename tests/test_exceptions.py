from __future__ import annotations

import pickle
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_sf_oauth import exceptions
from django_sf_oauth.exceptions import (
    ConfigurationError,
    MissingScopes,
    NotConnected,
    ReconnectRequired,
    SalesforceOAuthError,
    TemporarilyUnavailable,
)

ALL: list[Any] = [getattr(exceptions, name) for name in exceptions.__all__]
CODES = {
    "SalesforceOAuthError": "error",
    "ConfigurationError": "misconfigured",
    "NotConnected": "not_connected",
    "ReconnectRequired": "reconnect_required",
    "AccessBlocked": "blocked",
    "MissingScopes": "missing_scopes",
    "TemporarilyUnavailable": "temporarily_unavailable",
    "ConnectFailed": "connect_failed",
    "TokenUnreadable": "unreadable",
}

every_error = pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)


@every_error
def test_every_error_stands_in_one_tree(error: Any) -> None:
    assert issubclass(error, SalesforceOAuthError)
    assert error.__name__ in str(exceptions.__doc__)


@every_error
def test_an_error_speaks_to_programs_and_to_people_by_itself(error: Any) -> None:
    raised = error()

    assert raised.code == CODES[error.__name__]
    assert raised.user_message == str(raised) == error.default_message
    assert raised.connection_id is None


def test_an_operator_reads_the_code_of_what_to_mend_and_a_user_does_not() -> None:
    error = ConfigurationError(code="untrusted_host")

    assert str(error) == f"{ConfigurationError.default_message} (untrusted_host)"
    assert error.user_message == ConfigurationError.default_message


@every_error
def test_only_what_passes_by_itself_is_retryable(error: Any) -> None:
    assert error.retryable is (error is TemporarilyUnavailable)


@every_error
def test_what_is_given_is_kept(error: Any) -> None:
    who = uuid4()

    raised = error("For the log.", code="special", user_message="For people.", connection_id=who)

    assert (str(raised), raised.code, raised.user_message) == ("For the log.", "special", "For people.")
    assert raised.connection_id == who


@every_error
def test_the_repr_holds_the_message_alone(error: Any) -> None:
    assert (
        repr(error("For the log.", code="special", connection_id=uuid4())) == f"{error.__name__}('For the log.')"
    )


@every_error
def test_an_error_survives_the_way_between_processes(error: Any) -> None:
    raised = pickle.loads(pickle.dumps(error(code="special")))  # noqa: S301  # pickled in the same line

    assert (type(raised), raised.code) == (error, "special")


def test_a_setup_that_is_wrong_is_djangos_own_kind_of_error() -> None:
    assert issubclass(ConfigurationError, ImproperlyConfigured)


def test_a_connection_that_died_counts_as_none() -> None:
    assert issubclass(ReconnectRequired, NotConnected)


def test_the_errors_carry_what_helps_on() -> None:
    assert ReconnectRequired(reconnect_url="/salesforce/x/reconnect/").reconnect_url == "/salesforce/x/reconnect/"
    assert ReconnectRequired().reconnect_url == ""
    assert MissingScopes(missing=["api", "web"]).missing == ("api", "web")
    assert MissingScopes().missing == ()
    assert TemporarilyUnavailable(retry_after=1.5).retry_after == 1.5
    assert TemporarilyUnavailable().retry_after is None
