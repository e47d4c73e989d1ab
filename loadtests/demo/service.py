"""One version of the demo shop: answers every request with its name and a number, as slowly and as badly as it is told.

    python -m loadtests.demo.service --version canary --port 9002
    curl -X PUT http://127.0.0.1:9002/knobs -d '{"error_rate": 0.2, "delay": "100ms"}'

Owns the knobs and the counter. `/healthz` and `/knobs` are never slow and never wrong, so that a version can be bad for
its users while its health check is good, which is what a canary is for.
"""

import argparse
import asyncio
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import uvloop
from aiohttp import web

from config.units import parse_duration, parse_share, render_duration

_SPREAD: Final = 0.3  # of the logarithm of the work: one in a hundred takes twice as long


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
        fails = self.chance.random() < self.knobs.error_rate
        if seconds := self.knobs.delay + self.work * self.chance.lognormvariate(0, _SPREAD):
            await asyncio.sleep(seconds)
        return web.json_response(
            {"version": self.version, "request": number, **({"error": "the knob says so"} if fails else {})},
            status=500 if fails else 200,
        )

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
        application.router.add_route("*", "/{path:.*}", self.answer)
        return application


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
