"""What has to come of a connection, told from Salesforce's side."""

from __future__ import annotations

from itertools import pairwise

from django.utils import timezone

from django_sf_oauth.models import ConnectionEvent, Hold, SalesforceConnection
from django_sf_oauth.testing.records import Bar, RefreshToken

from .site import Site

__all__ = ["expected", "states_told"]

Status = SalesforceConnection.Status

BARRED = {Bar.BLOCKED: "app_blocked", Bar.NOT_INSTALLED: "app_not_installed", Bar.NOT_APPROVED: "not_approved"}
STATES = {
    "connected": Status.ACTIVE,
    "reconnected": Status.ACTIVE,
    "recovered": Status.ACTIVE,
    "reconnect_required": Status.RECONNECT_REQUIRED,
    "blocked": Status.BLOCKED,
    "disconnected": Status.DISCONNECTED,
}
GIVEN_UP = {
    Status.RECONNECT_REQUIRED: "ReconnectRequired",
    Status.BLOCKED: "AccessBlocked",
    Status.DISCONNECTED: "NotConnected",
}
SALESFORCE_SAYS = {
    "dead": {"ReconnectRequired:revoked", "ReconnectRequired:rotation_lost"},
    "invalid_client": {"ConfigurationError:invalid_client"},
    "": {"200"},
}


def answer_of(site: Site, token: RefreshToken) -> str:
    """What Salesforce says to a refresh with the token now: nothing against it, or the reason that we give it."""
    app, org, user = site.fake.app, token.approval.user.org, token.approval.user
    objections = {
        "invalid_client": not set(site.secrets) & set(app.secrets),
        "dead": token.rotated,
        **{reason: app.bar_in(org) == bar for bar, reason in BARRED.items()},
        # A dict keeps its order; the same key twice would not.
        "revoked": token.approval.revoked,
        "inactive_org": not org.active,
        "inactive_user": not user.active,
        "ip_restricted": org.ip_restricted,
    }
    said = next((reason for reason, stands in objections.items() if stands), "")
    return {"revoked": "dead"}.get(said, said)


def expected(site: Site, row: SalesforceConnection, *, is_leased: bool) -> set[str]:
    """How a call of the API may go."""
    token = site.stored_token(row)
    if row.status != Status.ACTIVE or token is None:
        name = GIVEN_UP[Status(row.status)]
        return {f"{name}:{row.reason or 'not_connected'}"}
    if Hold.objects.of_kill_switch().exists():
        return {"TemporarilyUnavailable:stopped"}
    if site.has_session(row):
        return {"200"}
    waits = {
        "busy": is_leased,
        "backing_off": row.retry_at is not None and row.retry_at > timezone.now(),
        "breaker_open": Hold.objects.filter(scope__startswith="host:", probe_at__gt=timezone.now()).exists(),
    }
    if any(waits.values()):
        return {f"TemporarilyUnavailable:{code}" for code, stands in waits.items() if stands}
    said = answer_of(site, token)
    return SALESFORCE_SAYS.get(said, {f"AccessBlocked:{said}"})


def states_told(row: SalesforceConnection) -> list[tuple[str, str, str]]:
    """The changes that the audit tells of, oldest first: what happened, and the status and reason after it.

    Raises:
        AssertionError: a change that is none: the same state twice, or a recovery of what was well.
    """
    events = ConnectionEvent.objects.filter(connection=row, kind__in=STATES).order_by("pk")
    told = list(events.values_list("kind", "reason"))
    assert [kind for kind, _ in told].count("connected") == 1
    assert told[0] == ("connected", "")
    for (before, why_before), (after, why_after) in pairwise(told):
        is_change = (STATES[before], why_before) != (STATES[after], why_after)
        assert is_change or after == "reconnected", told
        assert STATES[before] != Status.ACTIVE or after != "recovered", told
        assert before != "disconnected" or after == "reconnected", told
    return [(kind, STATES[kind], "" if STATES[kind] == Status.ACTIVE else reason) for kind, reason in told]
