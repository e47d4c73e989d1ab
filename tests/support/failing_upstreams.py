"""Upstreams that fail as often as they are told, and count: a fast program of its own, so that it holds up no test.

`python -m tests.support.failing_upstreams NAME...` prints where they are, as JSON. Each line of JSON on its standard
input, such as {"name": "canary", "errors": 0.2, "seed": 7}, sets how many answers of one are 500; each is answered by a
line that says how many requests each has had, and how many of them it failed. The chance is drawn request by request
from the seed, so that the same requests fail in every run. Answers carry the name of the upstream, and are told apart
from those of the proxy by it. /healthz is always well.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, cast

import uvloop


class Count(NamedTuple):
    """What an upstream has done."""

    requests: int
    failed: int


@dataclass(slots=True)
class _Upstream:
    name: str
    errors: float = 0.0
    chance: random.Random = field(default_factory=random.Random)
    requests: int = 0
    failed: int = 0

    def answer(self, head: bytes) -> bytes:
        fails = False
        if not head.startswith(b"GET /healthz"):
            self.requests += 1
            fails = self.chance.random() < self.errors
            self.failed += fails
        status = b"500 Internal Server Error" if fails else b"200 OK"
        return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(self.name), self.name.encode())


class _Answering(asyncio.Protocol):
    """One connection to an upstream."""

    def __init__(self, upstream: _Upstream) -> None:
        self._upstream = upstream
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, received: bytes) -> None:
        *heads, self._rest = (self._rest + received).split(b"\r\n\r\n")
        for head in heads:
            self._transport.write(self._upstream.answer(head))


async def _serve(names: list[str]) -> None:
    loop = asyncio.get_running_loop()
    upstreams = {name: _Upstream(name) for name in names}
    servers = [await loop.create_server(partial(_Answering, each), "127.0.0.1", 0) for each in upstreams.values()]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    print(json.dumps({name: f"127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)}), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        if order:
            upstream = upstreams[order["name"]]
            upstream.errors, upstream.chance = order["errors"], random.Random(order["seed"])
        print(json.dumps({each.name: [each.requests, each.failed] for each in upstreams.values()}), flush=True)


class FailingUpstreams:
    """Running upstreams; `places` are their addresses by their names."""

    def __init__(self, program: subprocess.Popen[str], places: dict[str, str]) -> None:
        self._program = program
        self.places = places

    def fail(self, *names: str, errors: float = 1.0, seed: int = 0) -> None:
        """From now on, let this share of the answers of some upstreams be 500."""
        for name in names:
            self._order({"name": name, "errors": errors, "seed": seed})

    def heal(self, *names: str) -> None:
        """Let them be well again."""
        self.fail(*names, errors=0.0)

    def counts(self) -> dict[str, Count]:
        """What each has done so far."""
        return {name: Count(*numbers) for name, numbers in self._order({}).items()}

    def _order(self, order: dict[str, object]) -> dict[str, list[int]]:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        print(json.dumps(order), file=self._program.stdin, flush=True)
        return cast(dict[str, list[int]], json.loads(self._program.stdout.readline()))


@contextmanager
def failing_upstreams(*names: str) -> Iterator[FailingUpstreams]:
    """Run them for the length of the block."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.failing_upstreams", *names],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            assert program.stdout is not None
            yield FailingUpstreams(program, json.loads(program.stdout.readline()))
        finally:
            program.kill()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1:]))
