"""Why an attempt to connect failed, in plain words: what happened, who can mend it, and what to press."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from django_sf_oauth.exceptions import ConnectFailed
from django_sf_oauth.protocol.errors import Actor, Refusal

__all__ = ["FAILURES", "Failure", "Press", "code_of", "describe", "failed"]

Text = str | Promise


class Press(StrEnum):
    """The one button of a failure page."""

    RETRY = "retry"
    CONNECTIONS = "connections"
    SIGN_IN = "sign_in"


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """One row of the table.

    Attributes:
        happened: may hold placeholders, which `failed` fills in.
        mend: who can mend it, and how.
        status: of the HTTP answer.
        ours: the operator of this site has to know.
    """

    title: Text
    happened: Text
    mend: Text
    press: Press = Press.RETRY
    status: int = 400
    ours: bool = False


OPERATOR = _("Only the people who run this site can mend it. Tell them the code below.")
AGAIN = _("Press the button to begin again.")

FAILURES: Mapping[str, Failure] = {
    # The callback's state
    "malformed_callback": Failure(
        title=_("This page was opened in an unexpected way"),
        happened=_("The address of this page is not one that Salesforce sends people to."),
        mend=_("Go to your connections and begin again there."),
        press=Press.CONNECTIONS,
    ),
    "state_missing": Failure(
        title=_("This page was opened without signing in"),
        happened=_("Salesforce brings you here after you have signed in, but this visit did not begin there."),
        mend=_("Go to your connections and begin there."),
        press=Press.CONNECTIONS,
    ),
    "state_unknown": Failure(
        title=_("This sign-in was used already, or is too old"),
        happened=_("Each sign-in at Salesforce works once, and for 15 minutes. Nothing was changed now."),
        mend=_("Look at your connections: if the new one is not there, begin again."),
        press=Press.CONNECTIONS,
    ),
    "state_foreign": Failure(
        title=_("This sign-in was begun elsewhere"),
        happened=_("It was begun by another account or in another browser, so it was not accepted here."),
        mend=_("If you want to connect Salesforce, begin again in this browser."),
        press=Press.CONNECTIONS,
        status=403,
    ),
    "signed_out": Failure(
        title=_("You were signed out meanwhile"),
        happened=_("When you came back from Salesforce, this site no longer knew who you are."),
        mend=_("Sign in here, then begin again."),
        press=Press.SIGN_IN,
        status=403,
    ),
    # What Salesforce says on the callback
    "access_denied": Failure(
        title=_("Access was not allowed"),
        happened=_("At Salesforce, Deny was pressed, so this site got no access."),
        mend=_("If that was a mistake, begin again and press Allow."),
    ),
    "app_blocked": Failure(
        title=_("Your Salesforce administrator has blocked this site"),
        happened=_("Salesforce did not let this site in, because its app is blocked in your organization."),
        mend=_(
            "Your Salesforce administrator can unblock it in Setup, under Connected Apps OAuth Usage. "
            "After that, try again."
        ),
        status=403,
    ),
    "not_approved": Failure(
        title=_("You are not approved to use this site with Salesforce"),
        happened=_("Your Salesforce administrator decides who may use this app, and you are not among them yet."),
        mend=_(
            "Your Salesforce administrator can add your profile or a permission set to the app in Setup, under "
            "Manage Connected Apps. After that, try again."
        ),
        status=403,
    ),
    "app_not_installed": Failure(
        title=_("This site's app is not installed in your Salesforce"),
        happened=_("Your organization admits installed apps only, and this site's app is not among them yet."),
        mend=_(
            "Your Salesforce administrator can install it in Setup, under Connected Apps OAuth Usage. If you "
            "meant a sandbox, choose Sandbox when you begin again."
        ),
        status=403,
    ),
    "invalid_scope": Failure(
        title=_("This site asked for more than its app may have"),
        happened=_("Salesforce refused, because a permission is not among the app's selected OAuth scopes."),
        mend=OPERATOR,
        press=Press.CONNECTIONS,
        status=502,
        ours=True,
    ),
    # The exchange
    "code_expired": Failure(
        title=_("That took too long"),
        happened=_("Salesforce no longer accepts this sign-in: it was used already, or is too old."),
        mend=AGAIN,
    ),
    "invalid_client": Failure(
        title=_("Salesforce does not accept this site"),
        happened=_("Salesforce refused the consumer key or secret of this site, not you."),
        mend=OPERATOR,
        press=Press.CONNECTIONS,
        status=502,
        ours=True,
    ),
    "misconfigured": Failure(
        title=_("This site is not set up correctly for Salesforce"),
        happened=_("Its request did not fit the settings of its app at Salesforce."),
        mend=OPERATOR,
        press=Press.CONNECTIONS,
        status=502,
        ours=True,
    ),
    "inactive_user": Failure(
        title=_("Your Salesforce user is not active"),
        happened=_("Salesforce says that this user is deactivated or frozen."),
        mend=_("Your Salesforce administrator can activate it. After that, try again."),
        status=403,
    ),
    "inactive_org": Failure(
        title=_("Your Salesforce organization is not active"),
        happened=_("Salesforce says that this organization is locked or has expired."),
        mend=_("Your Salesforce administrator can clear it up with Salesforce. After that, try again."),
        status=403,
    ),
    "ip_restricted": Failure(
        title=_("Your Salesforce does not admit this site's network address"),
        happened=_(
            "Your organization restricts network addresses or login hours, and this site is outside of them."
        ),
        mend=_(
            "Your Salesforce administrator can relax the IP restrictions of the app in Setup, under Manage "
            "Connected Apps. After that, try again."
        ),
        status=403,
    ),
    "temporarily_unavailable": Failure(
        title=_("Salesforce cannot be reached right now"),
        happened=_("Salesforce did not answer as it should. That usually passes by itself."),
        mend=_("Nobody has to mend anything. Wait a minute, then begin again."),
        status=503,
    ),
    "malformed_answer": Failure(
        title=_("Salesforce's answer could not be used"),
        happened=_("What came back was not an answer of Salesforce's sign-in service, so it was thrown away."),
        mend=_("Wait a minute, then begin again. If it stays so, tell the people who run this site."),
        status=502,
    ),
    # What is verified before anything is stored
    "bad_signature": Failure(
        title=_("Salesforce's answer could not be verified"),
        happened=_("It was not signed with this site's consumer secret, so nothing was stored."),
        mend=OPERATOR,
        press=Press.CONNECTIONS,
        status=502,
        ours=True,
    ),
    "untrusted_instance": Failure(
        title=_("Salesforce named a server that this site does not trust"),
        happened=_(
            "Your data would live on a host that is not known as one of Salesforce's, so nothing was stored."
        ),
        mend=OPERATOR,
        press=Press.CONNECTIONS,
        status=502,
        ours=True,
    ),
    "wrong_identity": Failure(
        title=_("Salesforce's answer contradicts itself"),
        happened=_("It did not say clearly whose access it gave, so nothing was stored."),
        mend=OPERATOR,
        press=Press.CONNECTIONS,
        status=502,
        ours=True,
    ),
    "missing_scopes": Failure(
        title=_("Salesforce did not grant all that is needed"),
        happened=_("Missing: %(scopes)s."),
        mend=_(
            "The people who run this site can add it to the connected app, under Selected OAuth Scopes. "
            "After that, try again."
        ),
        ours=True,
    ),
    "missing_refresh_token": Failure(
        title=_("Salesforce gave no lasting access"),
        happened=_("Salesforce sent no refresh token, so that the connection would end within hours."),
        mend=_(
            "The people who run this site can mend it: the connected app needs the scope “Perform requests at any "
            "time (refresh_token, offline_access)” under Selected OAuth Scopes, and SCOPES in this site's "
            "settings has to hold refresh_token. Salesforce calls the scope refresh_token or "
            "offline_access. After that, try again."
        ),
        ours=True,
    ),
    # Before Salesforce is asked
    "unknown_app": Failure(
        title=_("There is no such app"),
        happened=_("This site has no Salesforce app of that name."),
        mend=_("Choose one on the page of your connections."),
        press=Press.CONNECTIONS,
    ),
    "bad_login_host": Failure(
        title=_("That is not an address of Salesforce"),
        happened=_(
            "You can sign in at login.salesforce.com, at test.salesforce.com for a sandbox, or at your "
            "company's own address, such as acme.my.salesforce.com."
        ),
        mend=_("Correct the address and begin again."),
        press=Press.CONNECTIONS,
    ),
    "bad_next": Failure(
        title=_("The way back leads elsewhere"),
        happened=_("The link that brought you here would have sent you to another site afterwards."),
        mend=_("Begin again on the page of your connections."),
        press=Press.CONNECTIONS,
    ),
    "stopped": Failure(
        title=_("Salesforce is switched off on this site for now"),
        happened=_("The people who run this site have stopped its use of Salesforce, so nothing was connected."),
        mend=_("There is nothing that you have to mend. Come back later and begin again."),
        press=Press.CONNECTIONS,
        status=503,
    ),
    "rate_limited": Failure(
        title=_("Too many attempts"),
        happened=_("You have tried to connect many times in a short while."),
        mend=_("Nobody has to mend anything. Wait a minute, then begin again."),
        press=Press.CONNECTIONS,
        status=429,
    ),
    "unknown": Failure(
        title=_("Salesforce was not connected"),
        happened=_("Salesforce refused for a reason that this site does not know."),
        mend=_(
            "Begin again. If it stays so, your Salesforce administrator can look it up in Setup, under "
            "Login History."
        ),
    ),
}

# Reasons of the protocol that mean the same to the person who reads the page.
SAME_AS: Mapping[str, str] = {
    "code_invalid": "code_expired",
    "code_verifier": "code_expired",
    "immediate_unsuccessful": "code_expired",
    "invalid_client_id": "invalid_client",
    "redirect": "malformed_answer",
    "too_large": "malformed_answer",
    "org_gone": "inactive_org",
    "app_ip_restricted": "misconfigured",
}


def describe(code: str) -> Failure:
    """The words for a code; those for ``unknown`` if there are none of its own."""
    return FAILURES.get(code, FAILURES["unknown"])


def code_of(refusal: Refusal) -> str:
    """The code for what Salesforce answered: always a key of `FAILURES`."""
    reason = SAME_AS.get(refusal.reason, refusal.reason)
    if refusal.actor is Actor.NOBODY and reason != "malformed_answer":
        return "temporarily_unavailable"
    if reason in FAILURES:
        return reason
    return "misconfigured" if refusal.actor is Actor.OPERATOR else "unknown"


def failed(code: str, **names: Any) -> ConnectFailed:
    """The error of a code, with `names` filled into its words."""
    return ConnectFailed(code=code, user_message=str(describe(code).happened) % names)
