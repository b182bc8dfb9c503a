"""Whose tokens an answer holds: those of another org must never be used for this one."""

from __future__ import annotations

import logging

from django.views.decorators.debug import sensitive_variables

from django_sf_oauth.protocol.errors import Refusal, transport_refusal
from django_sf_oauth.protocol.identity import orgs_named
from django_sf_oauth.protocol.tokens import TokenAnswer

from .contract import Grant

__all__ = ["of_its_org"]

logger = logging.getLogger("django_sf_oauth.grants")


@sensitive_variables()
def of_its_org(grant: Grant, answer: TokenAnswer | Refusal) -> TokenAnswer | Refusal:
    """The answer, unless it names another org than the grant's: then the refusal ``foreign_org``.

    Its tokens are not revoked either: they may be the live grant of somebody else.
    """
    if isinstance(answer, Refusal):
        return answer
    if orgs_named(identity_url=answer.id, access_token=answer.access_token) <= {grant.organization_id[:15]}:
        return answer
    logger.error("event=foreign_org connection=%s", grant.uuid)
    return transport_refusal("foreign_org", status=200, answer_lost=True)
