"""Keys that no repository should hold."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path


def kept_key(path: Path) -> str:
    """The key in the file; the first time, a new one that is written there for this user alone to read."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="ascii") as file:  # mode 0600
        file.write(secrets.token_urlsafe(48))
        file.flush()
        with suppress(FileExistsError):  # of several processes that start at once, the first one's key stays
            os.link(file.name, path)
    return path.read_text(encoding="ascii")
