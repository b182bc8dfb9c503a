"""Keeps tokens out of the log records of the libraries."""

from __future__ import annotations

import logging
import re

__all__ = ["SecretFilter", "hide_secrets_in_logs"]

HIDDEN = "•••"
# A filter is asked only for the records of its own logger, not for those of loggers below it.
LOGGERS = ("requests_oauthlib.oauth2_session", "oauthlib")

_PLACEHOLDER = re.compile(r"%(\(\w+\))?[-#0 +]*[\d*]*(\.[\d*]+)?[a-zA-Z]")


class SecretFilter(logging.Filter):
    """Keeps the text that a library wrote and hides everything it filled in.

    requests-oauthlib prints whole requests and answers at DEBUG, with client secret, refresh token and code.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.args:
            record.msg = _PLACEHOLDER.sub(HIDDEN, str(record.msg))
            record.args = None
        return True


def hide_secrets_in_logs() -> None:
    """Installs the filter; installing it again changes nothing."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)


_FILTER = SecretFilter()
