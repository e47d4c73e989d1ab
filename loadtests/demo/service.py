"""One version of the demo shop: answers every request with its name and a number, as slowly and as badly as it is told.

    python -m loadtests.demo.service --version canary --port 9002
    curl -X PUT http://127.0.0.1:9002/knobs -d '{"error_rate": 0.2, "delay": "100ms"}'

A POST to `/uploads` is answered with the digest of its body, `/export` is large, `/echo` is a WebSocket that says
what it hears. Owns the knobs and the counter. `/healthz` and `/knobs` are never slow and never wrong, so that a
version can be bad for its users while its health check is good, which is what a canary is for.
"""

import argparse
import asyncio
import hashlib
import random
import socket
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any, Final

import uvloop
from aiohttp import WSMsgType, web

from config.units import parse_duration, parse_share, render_duration

#: Bytes. More than the kernel buffers of a connection, so that whoever sends it has to wait for a slow reader.
EXPORT_SIZE: Final = 4 * 1024 * 1024

_SPREAD: Final = 0.3  # of the logarithm of the work: one in a hundred takes twice as long
_MOST_UPLOADED: Final = 64 * 1024 * 1024  # bytes
_MOST_SAID: Final = 64 * 1024  # bytes of a message
_SILENCE: Final = 60.0  # seconds after which a WebSocket is closed


@dataclass(slots=True)
class Knobs:
    """What the version does to its users."""

    error_rate: float = 0.0
    """The share of answers that are 500."""
    delay: float = 0.0
    """Seconds before each answer."""

    def turn(self, wanted: Any) -> None:
        """Set the knobs that `wanted` names, all of them or none.

        Raises:
            ValueError: there is no such knob, or it cannot be set to this.
        """
        if not isinstance(wanted, dict) or not wanted.keys() <= {"error_rate", "delay"}:
            raise ValueError('send {"error_rate": 0.2, "delay": "100ms"}, or one of the two')
        error_rate = parse_share(wanted.get("error_rate", self.error_rate))
        self.delay = parse_duration(wanted.get("delay", self.delay))
        self.error_rate = error_rate

    def as_json(self) -> dict[str, Any]:
        """The knobs in the form in which they are set."""
        return {"error_rate": self.error_rate, "delay": render_duration(self.delay)}


@dataclass(slots=True)
class Shop:
    """The service itself."""

    version: str
    work: float = 0.0
    """What an answer takes, in seconds, more or less."""
    knobs: Knobs = field(default_factory=Knobs)
    chance: random.Random = field(default_factory=random.Random)
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    async def answer(self, request: web.Request) -> web.Response:
        """Answer any request."""
        number = next(self.numbers)
        return self._say({"request": number}) if await self._works() else self._fail({"request": number})

    async def take_upload(self, request: web.Request) -> web.Response:
        """Say what arrived: its size and its digest."""
        digest, size = hashlib.sha256(), 0
        async for piece in request.content.iter_any():
            digest.update(piece)
            size += len(piece)
            if size > _MOST_UPLOADED:
                raise web.HTTPRequestEntityTooLarge(max_size=_MOST_UPLOADED, actual_size=size)
        found = {"bytes": size, "sha256": digest.hexdigest()}
        return self._say(found) if await self._works() else self._fail(found)

    async def export(self, request: web.Request) -> web.Response:
        """Answer with much, and its digest (RFC 9530 section 2)."""
        if not await self._works():
            return self._fail({})
        body, digest = _export(self.version)
        return web.Response(body=body, headers={"Content-Digest": digest})

    async def echo(self, request: web.Request) -> web.StreamResponse:
        """Say every message again, until the other side closes."""
        websocket = web.WebSocketResponse(max_msg_size=_MOST_SAID, receive_timeout=_SILENCE, compress=False)
        if not websocket.can_prepare(request).ok:
            return web.json_response(
                {"version": self.version, "error": "this is a WebSocket"}, status=426, headers={"Upgrade": "websocket"}
            )
        if not await self._works():
            return self._fail({})
        await websocket.prepare(request)
        with suppress(TimeoutError):
            async for message in websocket:
                if message.type is WSMsgType.TEXT:
                    await websocket.send_str(message.data)
                elif message.type is WSMsgType.BINARY:
                    await websocket.send_bytes(message.data)
        await websocket.close()
        return websocket

    async def _works(self) -> bool:
        """Take the time of an answer; whether it is a good one."""
        fails = self.chance.random() < self.knobs.error_rate
        if seconds := self.knobs.delay + self.work * self.chance.lognormvariate(0, _SPREAD):
            await asyncio.sleep(seconds)
        return not fails

    def _say(self, found: dict[str, Any]) -> web.Response:
        return web.json_response({"version": self.version, **found})

    def _fail(self, found: dict[str, Any]) -> web.Response:
        return web.json_response({"version": self.version, **found, "error": "the knob says so"}, status=500)

    async def show_knobs(self, request: web.Request) -> web.Response:
        """Say how the knobs are set."""
        return web.json_response(self.knobs.as_json())

    async def turn_knobs(self, request: web.Request) -> web.Response:
        """Set knobs."""
        try:
            self.knobs.turn(await request.json())
        except ValueError as exc:
            return web.json_response({"error": str(exc)}, status=422)
        return web.json_response(self.knobs.as_json())

    async def be_well(self, request: web.Request) -> web.Response:
        """Answer a health check."""
        return web.json_response({"version": self.version})

    def application(self) -> web.Application:
        """The application with its routes."""
        application = web.Application()
        application.router.add_get("/healthz", self.be_well)
        application.router.add_get("/knobs", self.show_knobs)
        application.router.add_put("/knobs", self.turn_knobs)
        application.router.add_post("/uploads", self.take_upload)
        application.router.add_get("/export", self.export)
        application.router.add_get("/echo", self.echo)
        application.router.add_route("*", "/{path:.*}", self.answer)
        return application


@cache
def _export(version: str) -> tuple[bytes, str]:
    """The export of a version, different from that of another, and its digest."""
    body = random.Random(version).randbytes(EXPORT_SIZE)
    return body, f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode()}:"


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.demo.service", description="One version of the demo.")
    parser.add_argument("--version", required=True, help="the name it answers with")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--port", type=int, help="the port to listen on, on 127.0.0.1")
    place.add_argument("--fd", type=int, help="a listening socket that was inherited")
    parser.add_argument("--work", default="0s", type=parse_duration, help="what an answer takes, about (default: 0s)")
    options = parser.parse_args(arguments)
    if options.fd is None:
        listener = socket.create_server(("127.0.0.1", options.port))
    else:
        listener = socket.socket(fileno=options.fd)
    web.run_app(
        Shop(options.version, options.work).application(),
        sock=listener,
        print=None,
        access_log=None,
        shutdown_timeout=2.0,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
