from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_sf_oauth.adapters import use_adapter

from .wire import Wire

Plug = Callable[..., Wire]


@pytest.fixture
def plug() -> Iterator[Plug]:
    """Plugs a wire into the package."""
    plugged = []

    def plug(*answers: Any) -> Wire:
        wire = Wire(*answers)
        context = use_adapter(wire)
        context.__enter__()
        plugged.append(context)
        return wire

    yield plug
    for context in reversed(plugged):
        context.__exit__(None, None, None)
