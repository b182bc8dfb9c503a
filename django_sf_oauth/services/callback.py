"""The way back: Salesforce has sent the browser here with a code, or with an error."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from django.db import router
from django.utils.crypto import constant_time_compare
from django.views.decorators.debug import sensitive_variables

from django_sf_oauth import transport
from django_sf_oauth.conf import AppSettings
from django_sf_oauth.exceptions import ConfigurationError, ConnectFailed, TokenUnreadable
from django_sf_oauth.fields import Sealed
from django_sf_oauth.grants.contract import Status
from django_sf_oauth.models import ConnectAttempt, SalesforceConnection
from django_sf_oauth.models.attempt import digest
from django_sf_oauth.models.disconnect import revoke_now
from django_sf_oauth.models.record import record_failure
from django_sf_oauth.protocol.authorize import CallbackCode, CallbackError, CallbackMalformed
from django_sf_oauth.protocol.errors import Refusal, classify_authorize_error
from django_sf_oauth.protocol.tokens import TokenAnswer

from .connect import app_named, refuse_if_stopped
from .enrichment import enrich
from .failures import code_of, describe, failed
from .lifetime import ask_lifetime
from .rate_limits import limit_callback
from .storing import Stored, store
from .verification import verify

__all__ = ["CallbackFailed", "Connected", "finish"]

logger = logging.getLogger(__name__)

Callback = CallbackCode | CallbackError


class CallbackFailed(ConnectFailed):
    """Attributes: attempt: the one that failed, so that it can be begun again; None if there was none."""

    def __init__(self, cause: ConnectFailed, attempt: ConnectAttempt | None) -> None:
        super().__init__(code=cause.code, user_message=cause.user_message)
        self.attempt = attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class Connected:
    """What came of it.

    Attributes:
        is_new: this user had never connected this Salesforce user before.
        expected: the connection that was to be renewed, when somebody else signed in.
        shared_with: how many other users of this site use the same Salesforce user through the same app.
        next_url: where to go on this site; empty when nothing was said.
    """

    connection: SalesforceConnection
    is_new: bool
    expected: SalesforceConnection | None
    shared_with: int
    next_url: str


@sensitive_variables()
def finish(*, user: Any, browser: str, callback: Callback | CallbackMalformed) -> Connected:
    """Ends an attempt, well or not; its state is spent in either case.

    It must run outside of a transaction: the state has to stay spent, and the tokens stored, whatever follows.

    Args:
        user: who is signed in here, or None.
        browser: the mark of their browser session; empty if it has none.
        callback: what the URL says, read before, so that no frame of a traceback holds code and state in clear.

    Raises:
        CallbackFailed: nothing was stored. ``code`` is a key of `failures.FAILURES`.
    """
    if isinstance(callback, CallbackMalformed):
        with _noted(None, user):
            _admit(user, app="")
            raise failed("state_missing" if callback.problem == "no_state" else "malformed_callback")
    attempt = ConnectAttempt.objects.consume(callback.state)
    with _noted(attempt, user):
        _admit(user, app=attempt.app if attempt else "")
        own = _own(attempt, user, browser)
        return _connect(own, app_named(own.app), callback)


@contextmanager
def _noted(attempt: ConnectAttempt | None, user: Any) -> Iterator[None]:
    """Sees to it that no failure goes without its entry in the audit."""
    try:
        yield
    except ConnectFailed as failure:
        _note(failure, attempt, user)
        raise CallbackFailed(failure, attempt if _is_of(attempt, user) else None) from None


def _admit(user: Any, *, app: str) -> None:
    if user is None:
        raise failed("signed_out")
    limit_callback(user, app_named(app))


def _own(attempt: ConnectAttempt | None, user: Any, browser: str) -> ConnectAttempt:
    """The attempt, if this user began it in this browser."""
    if attempt is None:
        raise failed("state_unknown")
    same_browser = constant_time_compare(attempt.browser_digest, digest(browser))
    if attempt.user_id != user.pk or not same_browser:
        raise failed("state_foreign")
    return attempt


@sensitive_variables()
def _connect(attempt: ConnectAttempt, app: AppSettings, callback: Callback) -> Connected:
    refuse_if_stopped(app, org=attempt.connection.organization_id if attempt.connection else "")
    answer = _exchange(attempt, app, callback)
    try:
        verified = verify(answer, app)
        refuse_if_stopped(app, org=verified.identity.organization_id)  # known only now; the grant is given back
        stored = store(attempt, app, verified)
    except Exception:
        _give_back(attempt, app, answer)
        raise
    if stored.replaced is not None:
        revoke_now(stored.replaced)
    enrich(stored.connection, app)
    ask_lifetime(stored.connection, app)
    return _connected(attempt, stored)


@sensitive_variables()
def _exchange(attempt: ConnectAttempt, app: AppSettings, callback: Callback) -> TokenAnswer:
    if isinstance(callback, CallbackError):
        _refuse(classify_authorize_error(callback.error, callback.description))
    try:
        answer = transport.exchange_code(
            app,
            login_url=attempt.login_url,
            code=callback.code,
            code_verifier=attempt.verifier.reveal() if attempt.verifier else "",
            redirect_uri=attempt.redirect_uri,
        )
    except TokenUnreadable:
        raise failed("state_unknown") from None  # the site's keys were changed meanwhile
    except ConfigurationError:
        raise failed("misconfigured") from None
    if isinstance(answer, Refusal):
        _refuse(answer)
    return answer


def _refuse(refusal: Refusal) -> NoReturn:
    code = code_of(refusal)
    logger.info(
        "refused code=%s reason=%s error=%s status=%s", code, refusal.reason, refusal.error, refusal.status
    )
    raise failed(code)


@sensitive_variables()
def _give_back(attempt: ConnectAttempt, app: AppSettings, answer: TokenAnswer) -> None:
    """Ends a grant that nobody will use; if Salesforce does not answer, it ends by its own rules."""
    if _is_in_use(attempt, answer):
        return
    transport.revoke(
        app.within(app.timeouts.wait),  # somebody is waiting for the page
        login_url=attempt.login_url,
        token=answer.refresh_token or answer.access_token,
    )


@sensitive_variables()
def _is_in_use(attempt: ConnectAttempt, answer: TokenAnswer) -> bool:
    """Whether a connection lives on a token of the answer: Salesforce may give the same grant twice."""
    rows = SalesforceConnection.objects.using(router.db_for_write(SalesforceConnection))
    return any(
        _holds(token, {answer.refresh_token, answer.access_token})
        for row in rows.filter(user=attempt.user_id, app=attempt.app)
        for token in (row.refresh_token, row.access_token)
    )


@sensitive_variables()
def _holds(token: Sealed | None, plain: Container[str | None]) -> bool:
    try:
        return token is not None and token.reveal() in plain
    except TokenUnreadable:
        return False  # a connection that cannot use its grant does not lose it


def _note(failure: ConnectFailed, attempt: ConnectAttempt | None, user: Any) -> None:
    app = attempt.app if attempt else ""
    level = logging.ERROR if describe(failure.code).ours else logging.INFO
    logger.log(level, "connecting failed code=%s app=%s", failure.code, app)
    owner = user if user is not None else (attempt.user if attempt else None)
    if owner is None or failure.code == "rate_limited":
        return  # otherwise anybody could fill the audit with visits to the callback
    connection = attempt.connection if attempt is not None and _is_of(attempt, owner) else None
    record_failure(owner, app=app, reason=failure.code, connection=connection)


def _is_of(attempt: ConnectAttempt | None, user: Any) -> bool:
    return attempt is not None and user is not None and attempt.user_id == user.pk


def _connected(attempt: ConnectAttempt, stored: Stored) -> Connected:
    connection = stored.connection
    others = SalesforceConnection.objects.exclude(user=connection.user_id).exclude(status=Status.DISCONNECTED)
    same = others.filter(
        app=connection.app,
        organization_id=connection.organization_id,
        salesforce_user_id=connection.salesforce_user_id,
    )
    return Connected(
        connection=connection,
        is_new=stored.is_new,
        expected=stored.expected,
        shared_with=same.count(),
        next_url=attempt.next_url,
    )
