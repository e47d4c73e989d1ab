"""Changes of the live state take turns.

Owns who may change something now, and the word that refuses everybody else. Must not know what a change is.

Rules:
1. One change at a time. A caller that goes away does not stop a change half-way.
2. While changes are refused, the one that is under way is finished, and no other begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from proxy.core.live import Live, Refused


class Turns:
    """Everybody who wants to change something. `why` makes the refusal that they get until `admit`."""

    def __init__(self, why: Callable[[], Refused]) -> None:
        self._why: Callable[[], Refused] | None = why
        self._lock = asyncio.Lock()
        self._changes: set[asyncio.Task[Live]] = set()

    def admit(self) -> None:
        """Let changes be made from now on."""
        self._why = None

    def refuse(self, why: Callable[[], Refused]) -> None:
        """Let no change begin from now on."""
        self._why = why

    async def take(self, attempt: Callable[[], Coroutine[Any, Any, Live]]) -> Live:
        """Make a change when it is its turn. Raises Refused, and what the attempt raises."""

        async def locked() -> Live:
            async with self._lock:
                if self._why is not None:
                    raise self._why()
                return await attempt()

        change = asyncio.create_task(locked())
        self._changes.add(change)
        change.add_done_callback(self._end)
        return await asyncio.shield(change)

    async def settled(self) -> None:
        """Wait for the end of the changes that are under way."""
        if self._changes:
            await asyncio.wait(self._changes)

    def _end(self, change: asyncio.Task[Live]) -> None:
        self._changes.discard(change)
        if not change.cancelled():
            change.exception()  # looked at, also where the caller is gone
