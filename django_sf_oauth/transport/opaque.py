"""Errors that nobody foresaw, without the variables of the frames that they came through."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from traceback import extract_tb
from typing import ParamSpec, TypeVar

from django_sf_oauth.exceptions import SalesforceOAuthError

__all__ = ["opaque"]

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


def opaque(ask: Callable[P, T]) -> Callable[P, T]:
    """Whatever breaks inside leaves without its frames and without its cause: both hold secrets in clear.

    Django hides variables that are marked as sensitive, though not while DEBUG is on; other reporters send them.
    The log says where it broke.
    """

    @wraps(ask)
    def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return ask(*args, **kwargs)
        except Exception as error:
            del args, kwargs
            _log(error)
            raise error.with_traceback(None) from None

    return asked


def _log(error: Exception) -> None:
    if not isinstance(error, SalesforceOAuthError):
        place = extract_tb(error.__traceback__)[-1]
        logger.error("event=broken error=%s at=%s:%s", type(error).__name__, place.filename, place.lineno)
