"""Whether a test case holds the connection: what it wrote is never committed, and so seen by no other."""

from __future__ import annotations

from django.db import connections

__all__ = ["open_test_case"]


def open_test_case(alias: str) -> object | None:
    """The innermost block that a ``TestCase`` has opened round everything, if one has.

    Django marks such blocks for its own check of ``atomic(durable=True)``.
    """
    blocks = connections[alias].atomic_blocks
    marked = [block for block in blocks if getattr(block, "_from_testcase", False)]
    return marked[-1] if marked and marked[0] is blocks[0] else None
