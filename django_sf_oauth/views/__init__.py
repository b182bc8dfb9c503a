"""The six pages: how a person connects, sees and ends their connections."""

from __future__ import annotations

from .connecting import callback, connect, reconnect
from .connections import connections, disconnect, make_default

__all__ = ["callback", "connect", "connections", "disconnect", "make_default", "reconnect"]
