"""Answers of Salesforce, as documented or seen in public threads; every token in them is made up or a sample."""

from __future__ import annotations

from pathlib import Path


def response(name: str) -> bytes:
    """The body of one answer."""
    return (Path(__file__).parent / name).read_bytes()
