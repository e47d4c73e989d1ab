"""WebSocket clients and servers of the `websockets` library, on both ends of a worker or of a whole proxy."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve


class _Served(Protocol):
    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""


HANDSHAKE = (
    b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


@asynccontextmanager
async def websocket_server(
    served: Callable[[ServerConnection], Awaitable[None]] = echo, **fields: Any
) -> AsyncIterator[int]:
    async with serve(served, "127.0.0.1", 0, max_size=None, **fields) as server:
        yield next(iter(server.sockets)).getsockname()[1]


def opened(proxy: _Served, scheme: str = "ws", **fields: Any) -> connect:
    host, port = proxy.address
    return connect(f"{scheme}://{host}:{port}/chat", max_size=None, proxy=None, **fields)
