"""The admin: connections to look at and act on, their history, and what is held back. No token on any page."""

from __future__ import annotations

from .audit import ConnectionEventAdmin, HoldAdmin
from .connections import SalesforceConnectionAdmin

__all__ = ["ConnectionEventAdmin", "HoldAdmin", "SalesforceConnectionAdmin"]
