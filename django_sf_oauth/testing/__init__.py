"""A faithful fake of Salesforce's OAuth and a little of its REST API, for the tests of those who build on this.

Importing this package costs next to nothing and needs neither settings nor the app registry: pytest imports
it in every run, for its plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .adapter import ForeignHost
    from .fake import FakeSalesforce

__all__ = ["FakeSalesforce", "ForeignHost"]

HOMES = {"FakeSalesforce": "fake", "ForeignHost": "adapter"}


def __getattr__(name: str) -> object:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{HOMES[name]}", __name__), name)
