"""The stream of events: everything that the journal gets, as server-sent events (WHATWG HTML §9.2).

Owns one reader's stream. Must not hold up whoever writes: a reader asks the journal for what comes after its place.

1. A stream is resumed by Last-Event-ID: ids are the numbers of the journal.
2. A silent stream carries a comment now and then, so that both ends notice a dead connection.
3. Every write has a deadline; every stream ends when the API does.
"""

from __future__ import annotations

import asyncio
import json
from typing import Final

from aiohttp import web

from controller.api.models import Nothing
from controller.api.problem import Denied
from controller.api.views import Asked, decision_view
from controller.conductor import Conductor
from controller.core.book import Happened
from controller.journal import Record

WRITE_SECONDS: Final = 10.0
_MAX_ID_DIGITS: Final = 18


async def get_events(asked: Asked[Nothing]) -> web.StreamResponse:
    """Everything that happens from now on, or after the event that the client has seen last (Last-Event-ID)."""
    conductor, closing = asked.conductor, asked.parts.closing
    place = _last_seen(asked.request, conductor.journal.last)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    try:
        await response.prepare(asked.request)
        while not closing.is_set():
            for record in [each for each in conductor.journal.records if each.n > place]:
                place = record.n
                await _write(response, _event(record))
            if not await _wait_for_news(conductor, closing, place, asked.parts.ping_seconds):
                await _write(response, b": ping\n\n")
    except (TimeoutError, ConnectionError):
        if asked.request.transport is not None:
            asked.request.transport.abort()
    return response


def _event(record: Record) -> bytes:
    entry = record.entry
    if isinstance(entry, Happened):
        kind: str = entry.event.kind
        content = {"rollout": entry.rollout, **decision_view(record).model_dump(mode="json")}
    else:
        kind = entry.entry
        content = {"n": record.n, "wall": record.wall, "by": entry.by}
    # JSON has no raw line break and `kind` is a word of ours, so no field can end early.
    return f"id: {record.n}\nevent: {kind}\ndata: {json.dumps(content)}\n\n".encode()


def _last_seen(request: web.Request, newest: int) -> int:
    text = request.headers.get("Last-Event-ID")
    if text is None:
        return newest
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_ID_DIGITS):
        raise Denied(422, "The stream cannot be resumed: Last-Event-ID must be the id of an event of it")
    return int(text)


async def _wait_for_news(conductor: Conductor, closing: asyncio.Event, place: int, seconds: float) -> bool:
    """Wait until there is something new, or we close; false when neither comes in time."""
    if conductor.journal.last > place:
        return True
    news = asyncio.ensure_future(conductor.news.wait())
    ends = asyncio.ensure_future(closing.wait())
    done, waiting = await asyncio.wait({news, ends}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    return bool(done)


async def _write(response: web.StreamResponse, content: bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS):
        await response.write(content)
