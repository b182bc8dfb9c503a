"""Whether this is CI, where a browser or a server that is missing is a failure and no reason to skip."""

from __future__ import annotations

import os

__all__ = ["IN_CI"]

IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}
