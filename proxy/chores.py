"""One task for each of a set of things that changes: endpoints to probe, names to look up.

Owns the tasks. Must not know what they do.

1. A thing keeps its task until it goes away or is described in another way.
2. A task that fails is logged and begins again; the others do not notice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

RESTART_PAUSE: Final = 1.0
_log = logging.getLogger(__name__)


class Chores(Generic[K, V]):
    """Runs `work(key, description)`, which never ends by itself, for every key."""

    def __init__(self, work: Callable[[K, V], Awaitable[None]]) -> None:
        self._work = work
        self._tasks: dict[K, tuple[V, asyncio.Task[None]]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def follow(self, wanted: Mapping[K, V]) -> None:
        """Begin what is new, end what is gone, and begin anew what is described in another way."""
        for key, (description, task) in list(self._tasks.items()):
            if wanted.get(key) != description:
                task.cancel()
                del self._tasks[key]
        for key in wanted.keys() - self._tasks.keys():
            task = asyncio.create_task(self._run(key, wanted[key]), name=f"{self._work.__qualname__} {key}")
            self._tasks[key] = (wanted[key], task)

    async def close(self) -> None:
        """End all of them."""
        tasks = [task for _, task in self._tasks.values()]
        self.follow({})
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, key: K, description: V) -> None:
        while True:
            try:
                await self._work(key, description)
            except Exception:
                _log.exception("%s failed for %s", self._work.__qualname__, key)
            await asyncio.sleep(RESTART_PAUSE)
