"""Waiting for what a test expects to happen, instead of sleeping."""

import asyncio
from collections.abc import Callable
from pathlib import Path


async def until(condition: Callable[[], object]) -> None:
    """Return as soon as the condition is true. The limit of the test ends what never happens."""
    while not condition():  # noqa: ASYNC110  # what is waited for does not know that it is watched
        await asyncio.sleep(0.005)


def has_ended(pid: int) -> bool:
    """Whether a process has ended; nobody may have taken its exit status yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
