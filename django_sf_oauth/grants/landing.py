"""The end of a refresh, awaited on an event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress

from .contract import Outcome

__all__ = ["landing"]


async def landing(flight: Future[Outcome], *, patience: float) -> Outcome:
    """How the refresh ended; neither impatience nor a cancellation of the caller touches the refresh itself.

    Args:
        patience: seconds after which the caller gives up waiting.
    """
    loop = asyncio.get_running_loop()
    landed = asyncio.Event()

    def tell(flight: Future[Outcome]) -> None:
        with suppress(RuntimeError):  # the loop has ended before the refresh
            loop.call_soon_threadsafe(landed.set)

    flight.add_done_callback(tell)
    try:
        async with asyncio.timeout(patience):
            await landed.wait()
    except TimeoutError:
        return Outcome(kind="unavailable", reason="patience", retry_after=patience)
    return flight.result()
