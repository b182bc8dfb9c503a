"""What is checked of a token answer before anything of it is stored."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.views.decorators.debug import sensitive_variables

from django_sf_oauth.conf import AppSettings
from django_sf_oauth.models.token_values import is_usable_instance
from django_sf_oauth.protocol.hosts import is_trusted_url
from django_sf_oauth.protocol.identity import Identity, parse_identity, token_org_prefix, verify_signature
from django_sf_oauth.protocol.tokens import TokenAnswer, missing_scopes

from .failures import failed

__all__ = ["Verified", "verify"]

LASTING = frozenset({"refresh_token", "offline_access"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """An answer that may be stored."""

    answer: TokenAnswer = field(repr=False)
    identity: Identity
    instance_url: str
    scopes: tuple[str, ...]


@sensitive_variables()
def verify(answer: TokenAnswer, app: AppSettings) -> Verified:
    """Checks signature, hosts, identity, scopes and the refresh token, in this order.

    Raises:
        ConnectFailed: the code says which check failed.
    """
    _check_signature(answer, app)
    identity = _identity(answer, app)
    instance_url = answer.instance_url
    if instance_url is None or not is_usable_instance(instance_url, app):
        raise failed("untrusted_instance")
    _check_token_is_of(identity, answer)
    # RFC 6749 section 5.1: without a scope in the answer, what was asked for was granted.
    scopes = app.scopes if answer.scopes is None else answer.scopes
    _check_scopes(scopes, app)
    if answer.refresh_token is None:
        raise failed("missing_refresh_token")
    return Verified(answer=answer, identity=identity, instance_url=instance_url, scopes=scopes)


def _check_signature(answer: TokenAnswer, app: AppSettings) -> None:
    """A public client has no secret that could have signed."""
    secrets = app.client_secrets
    if secrets and not verify_signature(
        secrets=secrets,
        identity_url=answer.id or "",
        issued_at=answer.issued_at or "",
        signature=answer.signature or "",
    ):
        raise failed("bad_signature")


def _identity(answer: TokenAnswer, app: AppSettings) -> Identity:
    identity = parse_identity(answer.id or "")
    if identity is None or not is_trusted_url(identity.url, app.trusted_hosts):
        raise failed("wrong_identity")
    return identity


def _check_token_is_of(identity: Identity, answer: TokenAnswer) -> None:
    """The signature proves the identity alone; an opaque token begins with the id of its org."""
    prefix = token_org_prefix(answer.access_token)
    if prefix is not None and prefix != identity.organization_id[:15]:
        raise failed("wrong_identity")


def _check_scopes(scopes: tuple[str, ...], app: AppSettings) -> None:
    missing = missing_scopes(scopes, app.scopes)
    if missing and LASTING.issuperset(missing):
        raise failed("missing_refresh_token")
    if missing:
        raise failed("missing_scopes", scopes=", ".join(missing))
