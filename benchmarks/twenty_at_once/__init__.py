"""Twenty callers find one expired access token at once, and refresh tokens rotate: ours beside the peers.

Run with ``python -m benchmarks.twenty_at_once`` from the root of the repository.
"""

from __future__ import annotations
