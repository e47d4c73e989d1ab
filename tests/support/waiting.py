"""Waiting for what a test expects to happen, instead of sleeping."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object]) -> None:
    """Return as soon as the condition is true. The limit of the test ends what never happens."""
    while not condition():  # noqa: ASYNC110  # what is waited for does not know that it is watched
        await asyncio.sleep(0.005)
