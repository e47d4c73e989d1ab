"""The stream of events, resumed by Last-Event-ID.

Owns one reader's stream. Must not hold up whoever publishes: a reader that falls behind is told so and dropped.

1. `lost` says that events are missing: read /v1/state again. It comes first when a reader resumes after an event that
   is not kept any more, and last when a reader has fallen behind.
2. A silent stream carries a comment now and then, so that both ends notice a dead connection.
3. Every stream ends when the server does.
"""

from __future__ import annotations

import asyncio
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from proxy.admin.call import Asked, Proxy
from proxy.events import Event, Events
from webapi.events import EventWriter, last_event_id
from webapi.shapes import Nothing


async def get_events(asked: Asked[Nothing, Nothing]) -> web.StreamResponse:
    """Everything that happens from now on, or after the event that the client has seen last."""
    events, after = asked.proxy.supervisor.events, last_event_id(asked.request)
    writer = EventWriter(asked.request)
    is_known = after is not None and events.is_known(after)
    stream = _Stream(writer, events, after if is_known and after is not None else events.last_id)
    try:
        await writer.prepare()
        if after is not None and not is_known:
            await stream.write_lost()
        await stream.relay(asked.proxy)
    except (TimeoutError, ConnectionError):
        writer.abort()
    return writer.response


class _Stream:
    """One reader, and the event that it has seen last."""

    def __init__(self, writer: EventWriter, events: Events, place: int) -> None:
        self._writer = writer
        self._events = events
        self._place = place

    async def relay(self, proxy: Proxy) -> None:
        """Write every event, and a comment in the silence between, until either side has enough.

        Raises:
            TimeoutError: the reader takes nothing.
            ConnectionError: it is gone.
        """
        with self._events.subscribe(self._place) as subscription:
            closed: asyncio.Future[Any] = asyncio.ensure_future(proxy.closing.wait())
            coming = _next(subscription)
            try:
                while not closed.done():
                    await asyncio.wait({closed, coming}, timeout=proxy.ping_seconds, return_when=FIRST_COMPLETED)
                    if coming.done():
                        event: Event | None = coming.result()
                        if event is None:
                            return await self._end()
                        await self._write_event(event)
                        coming = _next(subscription)
                    elif not closed.done():
                        await self._writer.ping()
            finally:
                closed.cancel()
                coming.cancel()

    async def write_lost(self) -> None:
        """Say that events are missing, and go on with those that come now."""
        self._place = self._events.last_id
        await self._writer.write(self._place, "lost", {})

    async def _end(self) -> None:
        # The events end for a reader that has fallen behind, and for all when they are closed.
        if self._place < self._events.last_id:
            await self.write_lost()

    async def _write_event(self, event: Event) -> None:
        self._place = event.id
        await self._writer.write(event.id, event.kind, {"at": event.at, **event.fields})


def _next(subscription: AsyncIterator[Event]) -> asyncio.Future[Any]:
    return asyncio.ensure_future(anext(subscription, None))
