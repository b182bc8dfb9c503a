"""What other apps may listen to.

Every signal is sent after the change was committed, with ``sender`` the ``SalesforceConnection`` class and
``connection`` the row, never with a token. `refresh_failed`, `reconnect_required`, `blocked`, `suspicious` and
`app_misconfigured` also carry ``reason``, a stable code, and so does `disconnected` where nobody asked for it.
`app_misconfigured` is about a connected app rather than a user: it carries ``app``, the alias.
"""

from __future__ import annotations

from django.dispatch import Signal

__all__ = [
    "app_misconfigured",
    "blocked",
    "connected",
    "disconnected",
    "reconnect_required",
    "reconnected",
    "recovered",
    "refresh_failed",
    "refreshed",
    "suspicious",
]

connected = Signal()
reconnected = Signal()
refreshed = Signal()
refresh_failed = Signal()
reconnect_required = Signal()
blocked = Signal()
recovered = Signal()
disconnected = Signal()
app_misconfigured = Signal()
suspicious = Signal()
