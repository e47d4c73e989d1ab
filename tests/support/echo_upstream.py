"""Endpoints that say who they are, remember what they were asked, and fail when told to.

Reads Content-Length and chunked bodies, and is not strict: what is on the wire byte by byte is not its matter.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from tests.support.waiting import until


@dataclass(frozen=True)
class Request:
    """One request as an endpoint got it; `headers` by name in lower case, the last one wins."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Connection(asyncio.Protocol):
    """One connection at an endpoint."""

    def __init__(self, echo: Echo) -> None:
        self.echo = echo
        self.buffer = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember it."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.echo.connections.append(self)
        self.echo.accepted += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.echo.connections.remove(self)

    def data_received(self, data: bytes) -> None:
        """Act on every whole request."""
        self.buffer += data
        while request := self._next():
            self.echo.requests.append(request)
            (self.echo.script.popleft() if self.echo.script else self.echo.always)(self, request)

    def _next(self) -> Request | None:
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return None
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        length = _length(headers, rest)
        if len(rest) < length:
            return None
        method, target, _ = line.split(" ")
        self.buffer = rest[length:]
        return Request(method, target, headers, rest[:length])

    def say(self, status: int = 200, body: bytes | None = None, fields: str = "") -> None:
        """Answer; by default with the endpoint's port."""
        body = b"%d" % self.echo.port if body is None else body
        self.transport.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body)

    def reset(self) -> None:
        """End the connection with RST."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.transport.abort()


def _length(headers: dict[str, str], rest: bytes) -> int:
    """How many bytes of what follows a head are its body; more than there are when it is not whole yet."""
    if headers.get("transfer-encoding") == "chunked":
        end = rest.find(b"0\r\n\r\n")
        return end + 5 if end >= 0 else len(rest) + 1
    return int(headers.get("content-length", "0"))


Act = Callable[[Connection, Request], None]


def answer(connection: Connection, request: Request) -> None:
    """200, with the endpoint's port."""
    connection.say()


def status(code: int) -> Act:
    """This status."""
    return lambda connection, request: connection.say(code)


def reset(connection: Connection, request: Request) -> None:
    """RST instead of an answer."""
    connection.reset()


def close(connection: Connection, request: Request) -> None:
    """The end of the connection instead of an answer."""
    connection.transport.close()


def hold(connection: Connection, request: Request) -> None:
    """No answer before `release`."""
    connection.echo.held.append(connection)


class Echo:
    """An endpoint. `script` are the acts for the next requests, `always` that for all later ones."""

    def __init__(self) -> None:
        self.port = 0
        self.always: Act = answer
        self.script: deque[Act] = deque()
        self.requests: list[Request] = []
        self.connections: list[Connection] = []
        self.accepted = 0
        self.held: list[Connection] = []
        self._server: asyncio.Server | None = None

    @property
    def targets(self) -> list[str]:
        """The targets of the requests so far."""
        return [request.target for request in self.requests]

    async def listen(self) -> None:
        """Take connections, at the same port as before."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections from now on, and reset those that there are."""
        if self._server is not None:
            self._server.close()
            for connection in list(self.connections):
                connection.reset()
            await until(lambda: not self.connections)
            self._server = None

    async def has_held(self, count: int) -> None:
        """Wait for so many requests whose answer is held back."""
        await until(lambda: len(self.held) >= count)

    def release(self, count: int = 1) -> None:
        """Answer the oldest requests that are held."""
        for _ in range(count):
            self.held.pop(0).say()


@asynccontextmanager
async def echoes(count: int) -> AsyncIterator[Sequence[Echo]]:
    """So many endpoints, each at a port of its own."""
    async with AsyncExitStack() as stack:
        some = [Echo() for _ in range(count)]
        for echo in some:
            await echo.listen()
            stack.push_async_callback(echo.stop)
        yield some
