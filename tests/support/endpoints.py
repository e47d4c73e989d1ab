"""Endpoints for tests: servers in the same loop that answer in any way, also in none."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Endpoint:
    """Sends `answer` to everybody and closes; an empty one means that it never answers. `requests` are the heads."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self.before: Callable[[], None] = lambda: None
        self.requests: list[bytes] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.address = ""

    @asynccontextmanager
    async def serving(self, path: Path | None = None) -> AsyncIterator["Endpoint"]:
        """Listen on a free port of the loopback interface, or at a path."""
        if path is not None:
            server = await asyncio.start_unix_server(self._serve, path)
            self.address = f"unix:{path}"
        else:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            self.before()
            writer.write(self.answer)
            if not self.answer:
                await reader.read()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.open -= 1
            writer.close()


def free_address() -> str:
    """An address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
