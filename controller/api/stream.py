"""The stream of events: everything that the journal gets, as server-sent events.

Owns one reader's stream. Must not hold up whoever writes: a reader asks the journal for what comes after its place.

1. A stream is resumed by Last-Event-ID: ids are the numbers of the journal.
2. A silent stream carries a comment now and then, so that both ends notice a dead connection.
3. Every stream ends when the API does.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from controller.api.views import Asked, decision_view
from controller.conductor import Conductor
from controller.core.book import Happened, LineChanged, SignalRaised
from controller.journal import Record
from webapi.events import EventWriter, last_event_id
from webapi.shapes import Nothing


async def get_events(asked: Asked[Nothing]) -> web.StreamResponse:
    """Everything that happens from now on, or after the event that the client has seen last (Last-Event-ID)."""
    conductor, closing = asked.conductor, asked.parts.closing
    seen = last_event_id(asked.request)
    place = conductor.journal.last if seen is None else seen
    writer = EventWriter(asked.request)
    try:
        await writer.prepare()
        while not closing.is_set():
            for record in [each for each in conductor.journal.records if each.n > place]:
                place = record.n
                await writer.write(record.n, *_event(record))
            if not await _wait_for_news(conductor, closing, place, asked.parts.ping_seconds):
                await writer.ping()
    except (TimeoutError, ConnectionError):
        writer.abort()
    return writer.response


def _event(record: Record) -> tuple[str, dict[str, Any]]:
    """The kind of an event, and what it says."""
    entry = record.entry
    if isinstance(entry, Happened):
        return entry.event.kind, {"rollout": entry.rollout, **decision_view(record).model_dump(mode="json")}
    said = entry.message if isinstance(entry, SignalRaised) else entry.reason if isinstance(entry, LineChanged) else ""
    who = {"by": entry.by, "actor": entry.actor, "reason": said}
    return entry.entry, {"n": record.n, "wall": record.wall, **who}


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
