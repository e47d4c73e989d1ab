"""Upstreams that fail in the way that each request asks for, and count what they did.

`python -m tests.support.toxic_upstream NAME...` prints where they are, as JSON. A request says by the header `X-Toxic`
what is to be done to it (`TOXICS`; without it, an answer), by `X-Id` who it is, and by `X-Size` how long the answer is
to be. Each line of JSON on standard input is an order, answered by a line:

    {"name": N, "do": "refuse"}     no connection is accepted any more, those that there are are reset
    {"name": N, "do": "silence"}    connections are neither accepted nor refused: the queue in front of it is full
    {"name": N, "do": "listen"}     as at the beginning
    {"name": N, "do": "toxic", "toxic": T}     what requests without `X-Toxic` get from now on
    {"do": "count"}                 how often each id was executed, since the last such order, by name
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast

import uvloop

from tests.support.toxics import TOXICS, Asked, Exchange
from tests.support.upstream_program import UpstreamProgram, orders, say, say_places, upstream_program

_END: Final = b"\r\n\r\n"


@dataclass(slots=True)
class _Upstream:
    name: str
    port: int = 0
    toxic: str = ""
    executed: Counter[str] = field(default_factory=Counter)
    connections: set[asyncio.StreamWriter] = field(default_factory=set)
    server: asyncio.Server | None = None
    fill: list[socket.socket] = field(default_factory=list)

    async def listen(self) -> None:
        self.end()
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=4096)
        self.port = self.server.sockets[0].getsockname()[1]

    def end(self) -> None:
        """Neither accept nor stay connected."""
        if self.server is not None:
            self.server.close()
            self.server = None
        for writer in list(self.connections):
            writer.transport.abort()
        while self.fill:
            self.fill.pop().close()

    async def silence(self) -> None:
        """Fill a queue from which nobody takes anything."""
        self.end()
        listening = socket.create_server(("127.0.0.1", self.port), backlog=0)
        self.fill.append(listening)
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", self.port))
            self.fill.append(client)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        try:
            # RuntimeError: uvloop's word for writing to a connection that is over.
            with suppress(OSError, asyncio.IncompleteReadError, ValueError, RuntimeError):
                while not writer.is_closing():
                    asked = _read_head(await reader.readuntil(_END))
                    self.executed[asked.identity] += 1
                    await TOXICS[asked.toxic or self.toxic](Exchange(self.name, reader, writer, asked))
        finally:
            self.connections.discard(writer)
            writer.close()


def _read_head(head: bytes) -> Asked:
    line, *lines = head.decode("latin-1").strip().split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
    is_chunked = fields.get("transfer-encoding") == "chunked"
    return Asked(
        line.partition(" ")[0],
        fields.get("x-id", ""),
        int(fields.get("x-size", "0")),
        -1 if is_chunked else int(fields.get("content-length", "0")),
        fields.get("x-toxic", ""),
    )


async def _obey(upstreams: dict[str, _Upstream], order: dict[str, str]) -> Any:
    if order["do"] == "count":
        counts = {name: dict(each.executed) for name, each in upstreams.items()}
        for each in upstreams.values():
            each.executed.clear()
        return counts
    upstream = upstreams[order["name"]]
    match order["do"]:
        case "listen":
            await upstream.listen()
        case "refuse":
            upstream.end()
        case "silence":
            await upstream.silence()
        case "toxic":
            upstream.toxic = order["toxic"]
    return None


async def _serve(names: list[str]) -> None:
    upstreams = {name: _Upstream(name) for name in names}
    for each in upstreams.values():
        await each.listen()
    say_places({name: each.port for name, each in upstreams.items()})
    async for order in orders():
        say(await _obey(upstreams, order))


class ToxicUpstreams(UpstreamProgram):
    """Running upstreams; all answer at first."""

    def order(self, do: str, name: str = "", toxic: str = "") -> Any:
        """Give an order; what it answers."""
        return self._order(do=do, name=name, toxic=toxic)

    def executed(self) -> Counter[str]:
        """How often each id arrived at any of them, since the last time this was asked."""
        counts = cast(dict[str, dict[str, int]], self.order("count"))
        return sum((Counter(each) for each in counts.values()), Counter())


@contextmanager
def toxic_upstreams(*names: str) -> Iterator[ToxicUpstreams]:
    """Run them for the length of the block."""
    with upstream_program(ToxicUpstreams, *names) as running:
        yield running


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1:]))
