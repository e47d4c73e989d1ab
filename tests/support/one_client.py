"""A client of the proxy that keeps its connection: requests in order, or ahead of their answers.

Reads Content-Length and chunked bodies, and is not strict: what is on the wire byte by byte is not its matter.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """One response; `headers` by name in lower case, the last one wins."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def port(self) -> int:
        """Which endpoint answered."""
        assert self.status == 200, self
        return int(self.body)


class Client:
    """One connection to the proxy. `fields` go with every request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fields: dict[str, str]) -> None:
        self.reader = reader
        self.writer = writer
        self.fields = fields

    def send(self, target: str = "/", method: str = "GET", body: bytes = b"", **fields: str) -> None:
        """Send a request. Names of fields with '_' for '-'."""
        lines = {"Host": "shop.example.com", **self.fields, **{k.replace("_", "-"): v for k, v in fields.items()}}
        if body or method in ("POST", "PUT"):
            lines.setdefault("Content-Length", str(len(body)))
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
        self.writer.write(head.encode() + b"\r\n" + body)

    async def receive(self, method: str = "GET") -> Answer:
        """The next response, to a request with this method. Raises where the connection ends first."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in lines)}
        return Answer(int(line.split(" ")[1]), headers, b"" if method == "HEAD" else await self._body(headers))

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await self.reader.readexactly(int(headers.get("content-length", "0")))
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readuntil(b"\r\n")
        return body

    async def ask(self, target: str = "/", method: str = "GET", body: bytes = b"", **fields: str) -> Answer:
        """Send a request and wait for its response."""
        self.send(target, method, body, **fields)
        return await self.receive(method)

    def reset(self) -> None:
        """End it with RST."""
        end = self.writer.get_extra_info("socket")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.writer.transport.abort()

    async def close(self) -> None:
        """End it."""
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


@asynccontextmanager
async def connected(address: tuple[str, int], **fields: str) -> AsyncIterator[Client]:
    """A connection to the proxy."""
    reader, writer = await asyncio.open_connection(*address)
    client = Client(reader, writer, {name.replace("_", "-"): value for name, value in fields.items()})
    try:
        yield client
    finally:
        await client.close()


async def ask(
    address: tuple[str, int], target: str = "/", method: str = "GET", body: bytes = b"", **fields: str
) -> Answer:
    """One request on a connection of its own."""
    async with connected(address) as client:
        return await client.ask(target, method, body, **fields)


async def ask_together(address: tuple[str, int], count: int, target: str = "/", **fields: str) -> list[Answer]:
    """So many requests at the same time."""
    return await asyncio.gather(*(ask(address, target, "GET", b"", **fields) for _ in range(count)))
