"""The rows: a user's connections, their history, the attempts to connect, and what is held back.

`SealedQuerySet` is for sealed rows of your own.
"""

from __future__ import annotations

from .attempt import ConnectAttempt
from .audit_chain import AuditChain
from .connection import SalesforceConnection
from .event import ConnectionEvent
from .hold import Hold
from .notice import MailOptOut, Notice
from .revocation import PendingRevocation
from .sealed_queryset import SealedQuerySet

__all__ = [
    "AuditChain",
    "ConnectAttempt",
    "ConnectionEvent",
    "Hold",
    "MailOptOut",
    "Notice",
    "PendingRevocation",
    "SalesforceConnection",
    "SealedQuerySet",
]
