"""Upstreams that answer every request with their own name, and note each head of a request that arrives at them.

`python -m tests.support.noting_upstreams NAME...` prints where they are, as JSON, and serves until SIGTERM; then it
prints what has arrived where. A program of its own, so that it holds up no test. Probes (/healthz) are not noted.
Instants are nanoseconds of CLOCK_MONOTONIC.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic_ns
from typing import NamedTuple, cast

import uvloop

_NAME = b"\r\nx-load: "


class Arrival(NamedTuple):
    """The head of a request: when, and which one (the header X-Load; empty without it)."""

    at: int
    request: str


class _Noting(asyncio.Protocol):
    """One connection to an upstream."""

    def __init__(self, name: str, arrivals: list[Arrival]) -> None:
        self._answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name.encode())
        self._arrivals = arrivals
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, received: bytes) -> None:
        at = monotonic_ns()
        *heads, self._rest = (self._rest + received).split(b"\r\n\r\n")
        for head in heads:
            if not head.startswith(b"GET /healthz"):
                _, _, after = head.lower().partition(_NAME)
                self._arrivals.append(Arrival(at, after.partition(b"\r\n")[0].decode()))
            self._transport.write(self._answer)


async def _serve(names: list[str]) -> None:
    loop = asyncio.get_running_loop()
    ending = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ending.set)
    arrivals: dict[str, list[Arrival]] = {name: [] for name in names}
    servers = [await loop.create_server(partial(_Noting, name, arrivals[name]), "127.0.0.1", 0) for name in names]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    print(json.dumps({name: f"127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)}), flush=True)
    await ending.wait()
    print(json.dumps(arrivals), flush=True)


class NotingUpstreams:
    """Running upstreams; `places` are their addresses by their names."""

    def __init__(self, program: subprocess.Popen[str], places: dict[str, str]) -> None:
        self._program = program
        self.places = places

    def end(self) -> dict[str, list[Arrival]]:
        """End them; what has arrived at each."""
        self._program.terminate()
        output, _ = self._program.communicate(timeout=60)
        return {name: [Arrival(*fields) for fields in arrivals] for name, arrivals in json.loads(output).items()}


@contextmanager
def noting_upstreams(*names: str) -> Iterator[NotingUpstreams]:
    """Run them for the length of the block, unless the test has ended them."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.noting_upstreams", *names], stdout=subprocess.PIPE, text=True
    ) as program:
        try:
            assert program.stdout is not None
            yield NotingUpstreams(program, json.loads(program.stdout.readline()))
        finally:
            program.kill()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1:]))
