"""The only socket to the authorization host: requests-oauthlib, hardened.

Every function returns a value and lets out no exception of a library: those carry the request, and so the
secret and the refresh token. A `Refusal` says in ``answer_lost`` whether the token may have been spent.
"""

from __future__ import annotations

from .answers import Introspection, Revoked, Userinfo
from .operations import exchange_code, introspect, refresh, revoke, userinfo

__all__ = [
    "Introspection",
    "Revoked",
    "Userinfo",
    "exchange_code",
    "introspect",
    "refresh",
    "revoke",
    "userinfo",
]
