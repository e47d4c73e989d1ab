"""Upstreams as a program beside a test, so that they hold up no test: both ends of it, and how the two talk.

Owns what such programs share (named_upstreams.py, noting_upstreams.py, failing_upstreams.py, toxic_upstream.py): a
program says where its upstreams are by a line of JSON, takes orders by lines on its standard input, and answers each by
a line. Must not know what upstreams do with a request.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeVar, cast

#: What is done with a head: it is given with what answers it.
Asked = Callable[[bytes, Callable[[bytes], None]], None]
_END: Final = b"\r\n\r\n"

# --- in the program ---------------------------------------------------------------------------------------------------


class _Connection(asyncio.Protocol):
    """One connection to an upstream. Whatever comes are heads: bodies are not understood."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast(asyncio.Transport, transport).write

    def data_received(self, received: bytes) -> None:
        *heads, self._rest = (self._rest + received).split(_END)
        for head in heads:
            self._asked(head, self._write)


def answer(body: str, status: bytes = b"200 OK") -> bytes:
    """A whole answer."""
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body.encode())


def say(something: Any) -> None:
    """Tell the test."""
    print(json.dumps(something), flush=True)


def say_places(ports: Mapping[str, int]) -> None:
    """Tell the test where the upstreams are, by their names."""
    say({name: f"127.0.0.1:{port}" for name, port in ports.items()})


async def listen(upstreams: Mapping[str, Asked]) -> list[asyncio.Server]:
    """Listen for each of them, and say where; they live as long as what is returned."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(partial(_Connection, each), "127.0.0.1", 0) for each in upstreams.values()]
    say_places({name: server.sockets[0].getsockname()[1] for name, server in zip(upstreams, servers, strict=True)})
    return servers


async def orders() -> AsyncIterator[Any]:
    """The orders of the test, until it ends; each wants an answer."""
    while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        yield json.loads(line)


# --- in the test ------------------------------------------------------------------------------------------------------


class UpstreamProgram:
    """Running upstreams; `places` are their addresses by their names. A subclass is beside its program."""

    def __init__(self, program: subprocess.Popen[str], places: dict[str, str]) -> None:
        self.program = program
        self.places = places

    def _order(self, **order: Any) -> Any:
        """Give an order; what it answers."""
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        print(json.dumps(order), file=self.program.stdin, flush=True)
        return json.loads(self.program.stdout.readline())


Kind = TypeVar("Kind", bound=UpstreamProgram)


@contextmanager
def upstream_program(kind: type[Kind], *names: str) -> Iterator[Kind]:
    """Run the module of such a class for the length of the block."""
    with subprocess.Popen(
        [sys.executable, "-m", kind.__module__, *names], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        try:
            assert program.stdout is not None
            yield kind(program, json.loads(program.stdout.readline()))
        finally:
            program.kill()
