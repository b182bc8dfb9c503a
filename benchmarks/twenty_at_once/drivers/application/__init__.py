"""The Django app that an application writes itself, for libraries that keep no tokens."""

from __future__ import annotations
