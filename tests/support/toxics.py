"""What an upstream can do to a request instead of answering it well, and what a good answer is.

An answer holds the name of the upstream, the id of the request, the SHA-256 of the body that came, and a filling
of the length that was asked for, which follows from the id: who reads it can tell whether it is whole and theirs.
Must not listen or count (tests/support/toxic_upstream.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

DRIP_PAUSE: Final = 0.004


class Asked(NamedTuple):
    """A request as it came."""

    method: str
    identity: str
    size: int
    length: int  # of the body; -1: in chunks
    toxic: str


def filling(identity: str, size: int) -> bytes:
    """So many bytes that no other id has."""
    return random.Random(identity).randbytes(size).hex()[:size].encode()


def answer_body(name: str, asked: Asked, received: str) -> bytes:
    """What the answer to a request holds; `received` is the digest of its body."""
    return f"{name} {asked.identity} {received} ".encode() + filling(asked.identity, asked.size)


def digest(body: bytes) -> str:
    """How a body is told from others."""
    return hashlib.sha256(body).hexdigest()


def _whole(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


@dataclass(slots=True)
class Exchange:
    """What a toxic works with."""

    name: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    asked: Asked

    async def body(self) -> bytes:
        """The body of the answer, once that of the request has been read."""
        return answer_body(self.name, self.asked, await self._received())

    async def _received(self) -> str:
        got = hashlib.sha256()
        if self.asked.length >= 0:
            left = self.asked.length
            while left:
                part = await self.reader.readexactly(min(left, 65536))
                got.update(part)
                left -= len(part)
            return got.hexdigest()
        while size := int(await self.reader.readline(), 16):
            got.update(await self.reader.readexactly(size))
            await self.reader.readline()
        while await self.reader.readline() not in (b"\r\n", b""):
            pass
        return got.hexdigest()

    async def send(self, text: bytes) -> None:
        self.writer.write(text)
        await self.writer.drain()

    async def send_for_ever(self, text: bytes) -> None:
        while not self.writer.is_closing():
            await self.send(text)
            await asyncio.sleep(0)

    async def drip(self, text: bytes) -> None:
        for at in range(len(text)):
            await self.send(text[at : at + 1])
            await asyncio.sleep(DRIP_PAUSE)

    async def wait_for_end(self) -> None:
        """Until the other side gives up."""
        while await self.reader.read(65536):
            pass

    def reset(self) -> None:
        if not self.writer.is_closing():
            found = self.writer.get_extra_info("socket")
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


async def _answer(to: Exchange) -> None:
    await to.send(_whole(await to.body()))


async def _chunks(to: Exchange) -> None:
    body = await to.body()
    middle = len(body) // 2
    parts = (b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:middle], body[middle:]))
    await to.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(parts) + b"0\r\n\r\n")


async def _error(to: Exchange) -> None:
    await to.send(_whole(await to.body(), b"500 Internal Server Error"))


async def _slow(to: Exchange) -> None:
    body = await to.body()
    await asyncio.sleep(0.3)
    await to.send(_whole(body))


async def _hang(to: Exchange) -> None:
    await to.body()
    await to.wait_for_end()


async def _hang_in_head(to: Exchange) -> None:
    await to.body()
    await to.send(b"HTTP/1.1 200 OK\r\nX-A: ")
    await to.wait_for_end()


async def _hang_in_body(to: Exchange) -> None:
    await to.send(_whole(await to.body())[:-3])
    await to.wait_for_end()


def _broken_off(
    end: Callable[[Exchange], None], part: Callable[[bytes], bytes]
) -> Callable[[Exchange], Awaitable[None]]:
    """Send a part of a good answer, then end the connection."""

    async def toxic(to: Exchange) -> None:
        await to.send(part(_whole(await to.body())))
        end(to)

    return toxic


async def _close_in_chunks(to: Exchange) -> None:
    body = await to.body()
    await to.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body))
    to.close()


async def _garbage(to: Exchange) -> None:
    await to.body()
    await to.send(random.Random(to.asked.identity).randbytes(500) + b"\r\n\r\n")


async def _bad_chunk(to: Exchange) -> None:
    await to.body()
    await to.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabcde\r\n0\r\n\r\n")


async def _two_lengths(to: Exchange) -> None:
    body = await to.body()
    await to.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def _too_much(to: Exchange) -> None:
    await to.send(_whole(await to.body()) + b"and more that nobody asked for")


async def _two_answers(to: Exchange) -> None:
    await to.send(_whole(await to.body()) + _whole(b"an answer that is nobody's"))


async def _endless_head(to: Exchange) -> None:
    await to.body()
    await to.send(b"HTTP/1.1 200 OK\r\n")
    await to.send_for_ever(b"X-More: more\r\n" * 16)


async def _endless_interims(to: Exchange) -> None:
    await to.body()
    await to.send_for_ever(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")


async def _endless_trailers(to: Exchange) -> None:
    await to.body()
    await to.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n")
    await to.send_for_ever(b"X-More: more\r\n" * 16)


async def _drip(to: Exchange) -> None:
    await to.drip(_whole(await to.body()))


async def _never_read(to: Exchange) -> None:
    """Nor write."""
    while not to.writer.is_closing():  # noqa: ASYNC110  # the end of a connection that nobody reads tells nobody
        await asyncio.sleep(0.05)


async def _early_refusal(to: Exchange) -> None:
    """413 without having read the body, then the end."""
    await to.send(_whole(b"too large", b"413 Content Too Large\r\nConnection: close"))
    to.close()


#: What can be done to a request.
TOXICS: Final[dict[str, Callable[[Exchange], Awaitable[None]]]] = {
    "": _answer,
    "chunks": _chunks,
    "error": _error,
    "slow": _slow,
    "drip": _drip,
    "hang before the head": _hang,
    "hang in the head": _hang_in_head,
    "hang in the body": _hang_in_body,
    "close before the head": _broken_off(Exchange.close, lambda whole: b""),
    "close in the head": _broken_off(Exchange.close, lambda whole: whole[:20]),
    "close in the body": _broken_off(Exchange.close, lambda whole: whole[:-3]),
    "close in the chunks": _close_in_chunks,
    "close after the body": _broken_off(Exchange.close, lambda whole: whole),
    "reset before the head": _broken_off(Exchange.reset, lambda whole: b""),
    "reset in the head": _broken_off(Exchange.reset, lambda whole: whole[:20]),
    "reset in the body": _broken_off(Exchange.reset, lambda whole: whole[:-3]),
    "reset after the body": _broken_off(Exchange.reset, lambda whole: whole),
    "garbage": _garbage,
    "a bad chunk": _bad_chunk,
    "two lengths": _two_lengths,
    "too much": _too_much,
    "two answers": _two_answers,
    "an endless head": _endless_head,
    "endless interims": _endless_interims,
    "endless trailers": _endless_trailers,
    "never read": _never_read,
    "early refusal": _early_refusal,
}
