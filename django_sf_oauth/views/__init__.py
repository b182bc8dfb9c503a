"""The pages: how a person connects, sees and ends their connections, and whether they get mails."""

from __future__ import annotations

from .connecting import callback, connect, reconnect
from .connections import connections, disconnect, make_default
from .mails import mails, unsubscribe

__all__ = ["callback", "connect", "connections", "disconnect", "mails", "make_default", "reconnect", "unsubscribe"]
