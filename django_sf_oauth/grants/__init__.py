"""The engine that keeps grants alive, on a small protocol that the rows implement."""

from __future__ import annotations
