from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

__all__ = ["Ran", "Run"]


class Ran:
    """What a command printed, and the code it would exit with."""

    def __init__(self, out: str, error: CommandError | None) -> None:
        self.out = out
        self.code = error.returncode if error else 0
        self.said = str(error or "")

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def run() -> Run:
    """Runs a command as from the command line, without leaving the test."""

    def run(*words: object) -> Ran:
        out = StringIO()
        try:
            call_command(*map(str, words), stdout=out, stderr=out)
        except CommandError as error:
            return Ran(out.getvalue(), error)
        return Ran(out.getvalue(), None)

    return run
