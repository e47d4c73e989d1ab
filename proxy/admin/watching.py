"""The stream of events: server-sent events (WHATWG HTML §9.2), resumed by Last-Event-ID.

Owns one reader's stream. Must not hold up whoever publishes: a reader that falls behind is told so and dropped.

1. `lost` says that events are missing: read /v1/state again. It comes first when a reader resumes after an event that
   is not kept any more, and last when a reader has fallen behind.
2. A silent stream carries a comment now and then, so that both ends notice a dead connection.
3. Every write has a deadline; every stream ends when the server does.
"""

from __future__ import annotations

import asyncio
import json
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncIterator
from typing import Any, Final

from aiohttp import web

from proxy.admin.call import EVENT_STREAM, Asked, Proxy
from proxy.admin.models import Nothing
from proxy.core.live import Problem, Refused
from proxy.events import Event, Events

WRITE_SECONDS: Final = 10.0
_MAX_ID_DIGITS: Final = 18


async def get_events(asked: Asked[Nothing, Nothing]) -> web.StreamResponse:
    """Everything that happens from now on, or after the event that the client has seen last."""
    events, after = asked.proxy.supervisor.events, _last_seen(asked.request)
    response = web.StreamResponse(headers={"Content-Type": EVENT_STREAM})
    is_known = after is not None and events.is_known(after)
    stream = _Stream(response, events, after if is_known and after is not None else events.last_id)
    try:
        await response.prepare(asked.request)
        if after is not None and not is_known:
            await stream.write_lost()
        await stream.relay(asked.proxy)
    except (TimeoutError, ConnectionError):
        if asked.request.transport is not None:
            asked.request.transport.abort()
    return response


class _Stream:
    """One reader, and the event that it has seen last."""

    def __init__(self, response: web.StreamResponse, events: Events, place: int) -> None:
        self._response = response
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
                        await self._write(b": ping\n\n")
            finally:
                closed.cancel()
                coming.cancel()

    async def write_lost(self) -> None:
        """Say that events are missing, and go on with those that come now."""
        self._place = self._events.last_id
        await self._write(f"id: {self._place}\nevent: lost\ndata: {{}}\n\n".encode())

    async def _end(self) -> None:
        # The events end for a reader that has fallen behind, and for all when they are closed.
        if self._place < self._events.last_id:
            await self.write_lost()

    async def _write_event(self, event: Event) -> None:
        self._place = event.id
        content = json.dumps({"at": event.at, **event.fields})
        # JSON has no raw line break and `kind` is a word of ours, so no field can end early.
        await self._write(f"id: {event.id}\nevent: {event.kind}\ndata: {content}\n\n".encode())

    async def _write(self, content: bytes) -> None:
        async with asyncio.timeout(WRITE_SECONDS):
            await self._response.write(content)


def _next(subscription: AsyncIterator[Event]) -> asyncio.Future[Any]:
    return asyncio.ensure_future(anext(subscription, None))


def _last_seen(request: web.Request) -> int | None:
    text = request.headers.get("Last-Event-ID")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_ID_DIGITS):
        problem = Problem("Last-Event-ID", "must be the id of an event of this stream")
        raise Refused(422, "The stream cannot be resumed", (problem,))
    return int(text)
