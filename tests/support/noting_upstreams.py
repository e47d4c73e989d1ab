"""Upstreams that answer every request with their own name, and note each head of a request that arrives at them.

`python -m tests.support.noting_upstreams NAME...` prints where they are, as JSON, and serves until SIGTERM; then it
prints what has arrived where. Probes (/healthz) are not noted. Instants are nanoseconds of CLOCK_MONOTONIC.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic_ns
from typing import NamedTuple

import uvloop

from tests.support.upstream_program import Asked, UpstreamProgram, answer, listen, say, upstream_program

_NAME = b"\r\nx-load: "


class Arrival(NamedTuple):
    """The head of a request: when, and which one (the header X-Load; empty without it)."""

    at: int
    request: str


def _noting(name: str, arrivals: list[Arrival]) -> Asked:
    named = answer(name)

    def asked(head: bytes, write: Callable[[bytes], None]) -> None:
        if not head.startswith(b"GET /healthz"):
            _, _, after = head.lower().partition(_NAME)
            arrivals.append(Arrival(monotonic_ns(), after.partition(b"\r\n")[0].decode()))
        write(named)

    return asked


async def _serve(names: list[str]) -> None:
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    arrivals: dict[str, list[Arrival]] = {name: [] for name in names}
    servers = await listen({name: _noting(name, arrivals[name]) for name in names})
    await ending.wait()
    for server in servers:
        server.close()
    say(arrivals)


class NotingUpstreams(UpstreamProgram):
    """Running upstreams, which tell at their end what has arrived."""

    def end(self) -> dict[str, list[Arrival]]:
        """End them; what has arrived at each."""
        self.program.terminate()
        output, _ = self.program.communicate(timeout=60)
        return {name: [Arrival(*fields) for fields in arrivals] for name, arrivals in json.loads(output).items()}


@contextmanager
def noting_upstreams(*names: str) -> Iterator[NotingUpstreams]:
    """Run them for the length of the block, unless the test has ended them."""
    with upstream_program(NotingUpstreams, *names) as running:
        yield running


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1:]))
