"""Server-sent events (WHATWG HTML §9.2): how one is written, and after which one a client resumes.

Owns the bytes and their deadline. Must not know where events come from, and must not hold up whoever makes them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from config.problems import Problem
from webapi.call import EVENT_STREAM
from webapi.problem import Denied

WRITE_SECONDS: Final = 10.0
_MAX_ID_DIGITS: Final = 18


class EventWriter:
    """The stream of one reader.

    Every write has a deadline:

    Raises:
        TimeoutError: the reader takes nothing.
        ConnectionError: it is gone.
    """

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.response: Final = web.StreamResponse(headers={"Content-Type": EVENT_STREAM})

    async def prepare(self) -> None:
        """Send the head of the answer."""
        await self.response.prepare(self._request)

    async def write(self, number: int, kind: str, content: Mapping[str, Any]) -> None:
        """Write one event."""
        # JSON has no raw line break and `kind` is a word of ours, so no field can end early.
        await self._write(f"id: {number}\nevent: {kind}\ndata: {json.dumps(content)}\n\n".encode())

    async def ping(self) -> None:
        """Write a comment, so that both ends notice a dead connection."""
        await self._write(b": ping\n\n")

    def abort(self) -> None:
        """Let go of a reader that takes nothing."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _write(self, content: bytes) -> None:
        async with asyncio.timeout(WRITE_SECONDS):
            await self.response.write(content)


def last_event_id(request: web.Request) -> int | None:
    """The event that the client has seen last. Raises Denied (422)."""
    text = request.headers.get("Last-Event-ID")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_ID_DIGITS):
        problem = Problem("Last-Event-ID", "must be the id of an event of this stream")
        raise Denied(422, "The stream cannot be resumed", (problem,))
    return int(text)
