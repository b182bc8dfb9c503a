"""Who runs: each way of each package."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OURS", "PEERS", "Peer"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """One row of the table.

    Attributes:
        driver: the script under ``drivers/``.
        way: which of the driver's ways to call.
        package: the distribution that is compared; its pinned version stands in the table.
        extras: those of its extras that it takes.
        refreshes: whether a caller that is alone gets an expired token refreshed.
    """

    driver: str
    way: str
    package: str
    extras: str = ""
    refreshes: bool = True


OURS = Peer(driver="ours", way="client()", package="django-sf-oauth")

PEERS = (
    Peer(driver="allauth", way="as it comes", package="django-allauth", extras="[socialaccount]", refreshes=False),
    Peer(driver="social_auth", way="as it comes", package="social-auth-app-django", refreshes=False),
    Peer(driver="social_auth", way="refresh on 401", package="social-auth-app-django"),
    Peer(driver="django_esi", way="valid_access_token()", package="django-esi"),
    Peer(driver="django_esi", way="@tokens_required", package="django-esi"),
    Peer(driver="authlib", way="as it comes", package="authlib", refreshes=False),
    Peer(driver="authlib", way="invented expiry", package="authlib"),
    Peer(driver="requests_oauthlib", way="as it comes", package="requests-oauthlib", refreshes=False),
    Peer(driver="requests_oauthlib", way="hook that refreshes", package="requests-oauthlib"),
    Peer(driver="django_salesforce", way="RefreshTokenAuth", package="django-salesforce"),
)
