"""What the environment says of proxies and certificates, asked once for each host."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping
from typing import Any

__all__ = ["said_by_environment"]

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
VARIABLES = (*PROXIES, *map(str.upper, PROXIES), "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
REMEMBERED = 1024

_answers: dict[Hashable, Mapping[str, Any]] = {}


def said_by_environment(question: Hashable, ask: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """The answer of `ask`, which searches all variables, from the last time that everything was as it is now.

    All threads share the answers. What a system keeps outside of its variables (Windows, macOS) is asked once.

    Args:
        question: all that the answer depends on, besides the environment.
    """
    state = (question, *map(os.environ.get, VARIABLES))
    answer = _answers.get(state)
    if answer is None:
        if len(_answers) >= REMEMBERED:
            _answers.clear()
        answer = _answers[state] = ask()
    return answer
