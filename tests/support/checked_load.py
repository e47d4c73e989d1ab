"""Clients that ask without pause and check every answer strictly: a program of its own.

`python -m tests.support.checked_load HOST PORT WISHES` takes wishes as JSON (`Wishes`). It prints a line when every
client has been answered once; SIGTERM lets it finish what is in flight and print all requests as JSON. What a client
does next follows from the seed. A client behaves as any, but for the share that is `rude`: those go away at some moment
of their request, by a reset, or stop sending half-way and wait.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Final, NamedTuple

import uvloop

from tests.support.checked import a_name, request
from tests.support.toxics import Asked, answer_body, digest

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_DEADLINE: Final = 60.0
_LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_CODES_OF_UPSTREAM: Final = (200, 500)


@dataclass(frozen=True)
class Wishes:
    """What the clients are to do."""

    clients: int = 8
    seed: int = 0
    toxics: tuple[str, ...] = ("",)
    posts: float = 0.3
    fresh: float = 0.3
    rude: float = 0.0
    pause: float = 0.002
    rate: float = 0.0  # requests a second of all clients together, also behind time; 0: as many as come of the pause
    uploads: tuple[int, ...] = (0, 10, 3000, 200_000)
    sizes: tuple[int, ...] = (0, 500, 70_000)


class Asking(NamedTuple):
    """One request and what came of it: a status, or why its connection broke; `wrong` must be empty."""

    identity: str
    is_post: bool
    toxic: str
    is_rude: bool
    begin: int  # nanoseconds of CLOCK_MONOTONIC
    end: int
    status: int
    broke: str
    wrong: str


class _Client:
    def __init__(self, number: int, address: tuple[str, int], wishes: Wishes) -> None:
        self._chance = random.Random(f"{wishes.seed}.{number}")
        self._address = address
        self._wishes = wishes
        self._streams: Streams | None = None
        self.asked: list[Asking] = []

    async def run(self, ending: asyncio.Event) -> None:
        clock, wishes = asyncio.get_running_loop().time, self._wishes
        due = clock()
        while not ending.is_set():
            self.asked.append(await self._ask())
            due += wishes.clients / wishes.rate if wishes.rate else 0
            await asyncio.sleep(max(wishes.pause, due - clock()))
        self._close()

    async def _ask(self) -> Asking:
        chance, wishes = self._chance, self._wishes
        identity, toxic = a_name(), chance.choice(wishes.toxics)
        body = chance.randbytes(chance.choice(wishes.uploads)) if chance.random() < wishes.posts else None
        # Byte by byte, a long answer would take minutes.
        is_rude, size = chance.random() < wishes.rude, 0 if toxic == "drip" else chance.choice(wishes.sizes)
        text, begin = request(identity, toxic, body=body, size=size), time.monotonic_ns()
        status, broke, wrong = 0, "", ""
        if chance.random() < wishes.fresh:
            self._close()
        try:
            async with asyncio.timeout(_DEADLINE):
                reader, writer = await self._connected()
                if is_rude:
                    await self._be_rude(writer, text)
                    broke = "left"
                else:
                    writer.write(text)
                    status, wrong = await self._read(reader, identity, body or b"", size)
        except TimeoutError:
            wrong = "no answer and no end"
        except (OSError, asyncio.IncompleteReadError) as exc:
            broke = type(exc).__name__
        if status == 0:
            self._close()
        return Asking(identity, body is not None, toxic, is_rude, begin, time.monotonic_ns(), status, broke, wrong)

    async def _be_rude(self, writer: asyncio.StreamWriter, text: bytes) -> None:
        """Send some of it, and be gone: at once or after a while, by a reset or an end."""
        writer.write(text[: self._chance.randrange(len(text) + 1)])
        await asyncio.sleep(self._chance.choice((0, 0.01, 0.1)))
        if self._chance.random() < 0.5 and not writer.is_closing():
            found = writer.get_extra_info("socket")
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _connected(self) -> Streams:
        if self._streams is None or self._streams[0].at_eof() or self._streams[1].is_closing():
            self._close()
            self._streams = await asyncio.open_connection(*self._address)
        return self._streams

    async def _read(self, reader: asyncio.StreamReader, identity: str, body: bytes, size: int) -> tuple[int, str]:
        """The status, and what is wrong with the answer."""
        status, head = 0, b""
        while status < 200:
            head = (await reader.readuntil(b"\r\n\r\n"))[:-2]
            status = int(head.split(b" ", 2)[1])
        length = _LENGTH.search(head)
        got = await reader.readexactly(int(length[1])) if length else await _chunked(reader)
        if b"\r\nconnection: close" in head.lower():
            self._close()
        elif reader._buffer:  # type: ignore[attr-defined]  # asked for nothing yet, so nothing may be there
            return status, f"{len(reader._buffer)} bytes behind the answer"  # type: ignore[attr-defined]
        if b"\r\nproxy-status:" in head.lower() or status not in _CODES_OF_UPSTREAM:
            return status, ""
        name = got.partition(b" ")[0].decode("latin-1")
        whole = answer_body(name, Asked("", identity, size, 0, ""), digest(body))
        return status, "" if got == whole else f"{got[:60]!r} of {len(got)} bytes, not {whole[:60]!r} of {len(whole)}"

    def _close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    got = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        got += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return got


async def _run(address: tuple[str, int], wishes: Wishes) -> list[Asking]:
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    clients = [_Client(number, address, wishes) for number in range(wishes.clients)]
    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(client.run(ending))
        while not all(client.asked for client in clients):  # noqa: ASYNC110  # they do not know that they are watched
            await asyncio.sleep(0.01)
        print("begun", flush=True)
    return sorted((each for client in clients for each in client.asked), key=lambda each: each.begin)


class CheckedLoad:
    """A running load."""

    def __init__(self, program: subprocess.Popen[str]) -> None:
        self._program = program

    def end(self) -> list[Asking]:
        """Let it finish; every request by the time it began."""
        self._program.terminate()
        output, _ = self._program.communicate(timeout=2 * _DEADLINE)
        return [Asking(*fields) for fields in json.loads(output)]


@contextmanager
def checked_load(address: tuple[str, int], wishes: Wishes) -> Iterator[CheckedLoad]:
    """Put load on an address for the length of the block."""
    host, port = address
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.checked_load", host, str(port), json.dumps(asdict(wishes))],
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == "begun\n"
            yield CheckedLoad(program)
        finally:
            program.kill()


def main(host: str, port: str, wishes: str) -> None:
    asked = uvloop.run(_run((host, int(port)), Wishes(**json.loads(wishes))))
    with open(sys.stdout.fileno(), "w", closefd=False) as output:
        json.dump(asked, output)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
