"""The authorization request, and what the browser brings back (RFC 6749 section 4.1, RFC 7636)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from oauthlib.common import add_params_to_uri
from oauthlib.oauth2 import Client

AUTHORIZE_PATH = "/services/oauth2/authorize"

# Salesforce's codes and messages have a few hundred characters.
LONGEST_VALUE = 2048

# RFC 6749 appendix A: code and state are visible ASCII characters and blanks.
_VISIBLE = re.compile(r"[\x20-\x7e]+")
_CALLBACK_PARAMETERS = ("code", "state", "error", "error_description")


@dataclass(frozen=True, kw_only=True, slots=True)
class AuthorizationRequest:
    """Where to send the browser.

    Attributes:
        login_url: ``https://login.salesforce.com``, without a path.
        redirect_uri: must equal a callback URL of the connected app exactly.
        scopes: empty asks for whatever the app is configured for.
        code_challenge: of `code_challenge`; S256.
        prompt: ``login``, ``consent``, ``select_account`` or ``login consent``.
        login_hint: a username. Ignored when the browser has a Salesforce session: another user may connect.
        display: ``page``, ``popup``, ``touch`` or ``mobile``.
        nonce: comes back in the ID token.
        immediate: no page is shown; the callback says ``immediate_unsuccessful`` if one was needed.
    """

    login_url: str
    client_id: str
    redirect_uri: str
    scopes: Sequence[str]
    state: str = field(repr=False)
    code_challenge: str = field(repr=False)
    prompt: str | None = None
    login_hint: str | None = None
    display: str | None = None
    nonce: str | None = field(default=None, repr=False)
    immediate: bool = False

    def url(self) -> str:
        """The whole URL, with every parameter that has a value."""
        parameters = [(name, value) for name, value in self._parameters() if value]
        # Not prepare_grant_uri(): it refuses http, which a fake Salesforce on the loopback address uses.
        # Whether the login URL may be used at all is for the caller to decide, with hosts.is_trusted_url().
        return str(add_params_to_uri(self.login_url + AUTHORIZE_PATH, parameters))

    def _parameters(self) -> list[tuple[str, str | None]]:
        return [
            ("response_type", "code"),
            ("client_id", self.client_id),
            ("redirect_uri", self.redirect_uri),
            ("scope", " ".join(self.scopes)),
            ("state", self.state),
            ("code_challenge", self.code_challenge),
            ("code_challenge_method", "S256"),
            ("prompt", self.prompt),
            ("login_hint", self.login_hint),
            ("display", self.display),
            ("nonce", self.nonce),
            ("immediate", "true" if self.immediate else None),
        ]


def code_challenge(verifier: str) -> str:
    """The S256 challenge of a PKCE code verifier (RFC 7636 section 4.2)."""
    return str(Client("").create_code_challenge(verifier, "S256"))


@dataclass(frozen=True, kw_only=True, slots=True)
class CallbackCode:
    """The user consented."""

    code: str = field(repr=False)
    state: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class CallbackError:
    """Salesforce refused, or the user did. Both texts come from a URL that anybody can write: show neither.

    Attributes:
        error: as received; `errors.classify_authorize_error` reads it.
        description: as received, or empty.
    """

    error: str
    description: str = field(repr=False)
    state: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class CallbackMalformed:
    """Nothing that Salesforce sends.

    Attributes:
        problem: ``duplicate_parameter``, ``too_long``, ``bad_character``, ``no_state``, ``code_and_error`` or
            ``no_code``.
    """

    problem: str


def read_callback(query: Mapping[str, Sequence[str]]) -> CallbackCode | CallbackError | CallbackMalformed:
    """Reads the query of the callback URL.

    Args:
        query: all values of each parameter, decoded once: ``dict(request.GET.lists())``. A duplicate is
            refused, since two readers of one URL may take different ones (RFC 6749 section 3.1).
    """
    found = {name: [value for value in query.get(name, ()) if value] for name in _CALLBACK_PARAMETERS}
    problem = _problem(found)
    if problem:
        return CallbackMalformed(problem=problem)
    code, state, error, description = ("".join(found[name]) for name in _CALLBACK_PARAMETERS)
    if error:
        return CallbackError(error=error, description=description, state=state)
    return CallbackCode(code=code, state=state)


def _problem(found: Mapping[str, Sequence[str]]) -> str:
    values = [value for name in _CALLBACK_PARAMETERS for value in found[name]]
    checks = {
        "duplicate_parameter": any(len(each) > 1 for each in found.values()),
        "too_long": any(len(value) > LONGEST_VALUE for value in values),
        "bad_character": not all(_VISIBLE.fullmatch(value) for value in (*found["code"], *found["state"])),
        "no_state": not found["state"],
        "code_and_error": bool(found["code"] and found["error"]),
        "no_code": not found["code"] and not found["error"],
    }
    return next((problem for problem, is_so in checks.items() if is_so), "")
