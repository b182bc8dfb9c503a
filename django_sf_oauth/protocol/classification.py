"""Which refusal means what: the table, as data.

Salesforce uses one OAuth error, ``invalid_grant``, for a revoked grant, a concurrent refresh, an IP rule and
a deactivated user, so that only the description tells them apart. This is the single place that knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Grant = Literal["authorize", "authorization_code", "refresh_token", "revoke", "introspect"]


class Actor(StrEnum):
    """Who must act before the same request can succeed."""

    USER = "user"
    """The user: connect again."""
    CUSTOMER_ADMIN = "customer_admin"
    """The customer's Salesforce administrator; connecting again would not help."""
    OPERATOR = "operator"
    """The operator of this site: the connected app or its settings are wrong for everybody."""
    NOBODY = "nobody"
    """Nobody: the same request can succeed later."""
    UNKNOWN = "unknown"
    """It cannot be told; try a few times over hours before asking the user."""
    ATTEMPT = "attempt"
    """The user, at once: only this attempt to connect failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One row of the table.

    Attributes:
        errors: any of these OAuth errors; empty means every error.
        phrase: contained in the description, lower-case; empty means every description.
        grants: only in answer to these requests; empty means all.
    """

    errors: frozenset[str] = frozenset()
    phrase: str = ""
    grants: frozenset[Grant] = frozenset()
    actor: Actor
    reason: str

    def matches(self, error: str, description: str, grant: Grant) -> bool:
        return (
            (not self.errors or error in self.errors)
            and self.phrase in description
            and (not self.grants or grant in self.grants)
        )


def _rule(errors: str, phrase: str, actor: Actor, reason: str, *grants: Grant) -> Rule:
    return Rule(
        errors=frozenset(errors.split()),
        phrase=phrase,
        grants=frozenset(grants),
        actor=actor,
        reason=reason,
    )


# The first row that matches counts.
TABLE: tuple[Rule, ...] = (
    # Unmistakable whatever the error: the org is gone, or its administrator did not admit the app or user.
    _rule("", "data not available", Actor.USER, "org_gone"),
    _rule("", "not admin approved", Actor.CUSTOMER_ADMIN, "not_approved"),
    _rule("", "blocked by admin", Actor.CUSTOMER_ADMIN, "app_blocked"),
    _rule("", "must be installed", Actor.CUSTOMER_ADMIN, "app_not_installed"),
    _rule("", "not installed in this org", Actor.CUSTOMER_ADMIN, "app_not_installed"),
    # One request in flight per refresh token since Summer '24; until Winter '25 the loser was told that an
    # "authorization code" had expired, although it sent none.
    _rule("invalid_grant", "already being processed", Actor.NOBODY, "contention"),
    _rule("invalid_grant", "expired authorization code", Actor.NOBODY, "contention", "refresh_token"),
    _rule("invalid_grant", "expired authorization code", Actor.ATTEMPT, "code_expired"),
    _rule("invalid_grant", "invalid authorization code", Actor.ATTEMPT, "code_invalid"),
    # Documented as invalid_request, seen as invalid_grant: "invalid …" and "unexpected code verifier".
    _rule("invalid_grant invalid_request", "code verifier", Actor.ATTEMPT, "code_verifier"),
    # The same text also stands for a wrong host or a token rotated since: the caller checks both first.
    _rule("invalid_grant", "expired access/refresh token", Actor.USER, "revoked"),
    _rule("invalid_grant", "token validity expired", Actor.USER, "token_expired"),
    _rule("invalid_grant", "approved this consumer", Actor.USER, "approval_gone"),
    # An administrator can activate both again, and the refresh token may then live on.
    _rule("invalid_grant", "inactive user", Actor.CUSTOMER_ADMIN, "inactive_user"),
    _rule("invalid_grant", "inactive org", Actor.CUSTOMER_ADMIN, "inactive_org"),
    # Our own refresh-token allow-list, which the next row would take for the customer's.
    _rule("invalid_grant", "ip restricted by app developer", Actor.OPERATOR, "app_ip_restricted"),
    _rule("invalid_grant", "ip restricted", Actor.CUSTOMER_ADMIN, "ip_restricted"),
    _rule("invalid_grant", "authentication failure", Actor.UNKNOWN, "authentication_failure"),
    _rule("invalid_grant", "activation secret invalid", Actor.UNKNOWN, "activation_secret_invalid"),
    _rule("invalid_grant", "not supported on this domain", Actor.OPERATOR, "wrong_host"),
    _rule("invalid_grant", "no valid scopes", Actor.OPERATOR, "no_valid_scopes"),
    _rule("invalid_client_id", "", Actor.OPERATOR, "invalid_client_id"),
    _rule("invalid_client invalid_client_credentials", "", Actor.OPERATOR, "invalid_client"),
    _rule("app_not_found oauth_ec_app_not_found", "", Actor.CUSTOMER_ADMIN, "app_not_installed"),
    _rule("invalid_app_access oauth_app_access_denied", "", Actor.CUSTOMER_ADMIN, "not_approved"),
    _rule(
        "app_blocked oauth_app_blocked fail_close_app_blocked oauth_flow_disabled oauth_policy_not_found"
        " ecapp_policy_not_found installation_error invalid_distribution_state",
        "",
        Actor.CUSTOMER_ADMIN,
        "app_blocked",
    ),
    # Documented long ago, absent from newer lists: mapped to the modern reasons.
    _rule("inactive_user", "", Actor.CUSTOMER_ADMIN, "inactive_user"),
    _rule("inactive_org", "", Actor.CUSTOMER_ADMIN, "inactive_org"),
    _rule("rate_limit_exceeded slow_down", "", Actor.NOBODY, "rate_limited"),
    _rule("unknown_error", "retry", Actor.NOBODY, "server_error"),
    _rule(
        "server_error service_unavailable system_down temporarily_unavailable",
        "",
        Actor.NOBODY,
        "server_error",
    ),
    _rule("client_blocked_retry", "", Actor.NOBODY, "client_blocked"),
    _rule("client_blocked", "", Actor.UNKNOWN, "client_blocked"),
    # A bug or a setting of this site.
    _rule("unsupported_grant_type", "", Actor.OPERATOR, "unsupported_grant_type"),
    _rule("invalid_request", "", Actor.OPERATOR, "invalid_request"),
    _rule("invalid_scope", "", Actor.OPERATOR, "invalid_scope"),
    _rule("redirect_uri_mismatch", "", Actor.OPERATOR, "redirect_uri_mismatch"),
    _rule("redirect_uri_missing", "", Actor.OPERATOR, "redirect_uri_missing"),
    _rule("invalid_assertion_type", "", Actor.OPERATOR, "invalid_assertion_type"),
    _rule("invalid_basic_auth_header", "", Actor.OPERATOR, "invalid_basic_auth_header"),
    # Only where a token is revoked: it is dead already, or of a kind that cannot be revoked.
    _rule("invalid_token", "", Actor.NOBODY, "invalid_token", "revoke"),
    _rule("unsupported_token_type", "", Actor.OPERATOR, "unsupported_token_type", "revoke"),
    # Only on the callback.
    _rule("access_denied", "", Actor.ATTEMPT, "access_denied", "authorize"),
    _rule("", "end-user denied", Actor.ATTEMPT, "access_denied", "authorize"),
    _rule("immediate_unsuccessful", "", Actor.ATTEMPT, "immediate_unsuccessful", "authorize"),
    _rule("login_error", "", Actor.UNKNOWN, "login_error"),
    _rule("invalid_session_level", "", Actor.UNKNOWN, "invalid_session_level"),
)
UNKNOWN_ERROR = Rule(actor=Actor.UNKNOWN, reason="unknown")
