"""What happened lately: every change, health flip and fall of a worker, for whoever watches.

Owns the ring of events and the readers of it. Must not decide what is worth an event.

Rules:
1. Ids rise by one from 1. The last KEPT events stay; who reads is told nothing twice and nothing out of order.
2. A reader holds a place in the ring, no queue of its own: a slow one costs nothing, and its iteration ends when what
   it would read next is gone.
3. Publishing never waits.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

KEPT: Final = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; `fields` is JSON-able, `at` is seconds since 1970."""

    id: int
    at: float
    kind: str
    fields: Mapping[str, Any]


class Events:
    """The ring of the last events."""

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._clock = wall_clock
        self._ring: deque[Event] = deque(maxlen=KEPT)
        self._last = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._is_closed = False

    @property
    def last_id(self) -> int:
        """The id of the newest event; 0: nothing has happened yet."""
        return self._last

    def publish(self, kind: str, **fields: Any) -> None:
        """Add an event and wake its readers."""
        self._last += 1
        self._ring.append(Event(self._last, self._clock(), kind, fields))
        self._wake()

    def is_known(self, after: int) -> bool:
        """Whether everything after this event is still kept."""
        return self._first - 1 <= after <= self._last

    @contextmanager
    def subscribe(self, after: int | None = None) -> Iterator[AsyncIterator[Event]]:
        """What happens from now on, or after an event. The iterator ends when its reader has fallen behind, and when
        the events are closed.
        """
        yield self._read(self._last if after is None else after)

    def close(self) -> None:
        """End every iteration once all is read."""
        self._is_closed = True
        self._wake()

    @property
    def _first(self) -> int:
        return self._last - len(self._ring) + 1

    async def _read(self, place: int) -> AsyncIterator[Event]:
        while self.is_known(place):
            if place < self._last:
                place += 1
                yield self._ring[place - self._first]
            elif self._is_closed:
                return
            else:
                await self._wait_for_news()

    async def _wait_for_news(self) -> None:
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(news)
        try:
            await news
        finally:
            self._waiting.discard(news)

    def _wake(self) -> None:
        for news in self._waiting:
            if not news.done():
                news.set_result(None)
