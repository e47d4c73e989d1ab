"""Clients that ask without pause and note what came of each request: a program of its own.

`python -m tests.support.load HOST PORT PATH KEPT FRESH PAUSE` runs KEPT clients that keep their connection and FRESH
ones that take a new one for each request; each rests for PAUSE seconds between two requests. It prints a line when it
has begun; SIGTERM lets it finish what is in flight and print all requests as JSON.

A client behaves as any: it does not ask on a connection of which it has seen the end. Each request has a name of its
own, which it carries in the header X-Load. Instants are nanoseconds of
CLOCK_MONOTONIC, the same in all processes.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import uvloop

from tests.support.whole_proxy import WholeProxy


class Request(NamedTuple):
    """One request: when, on the connection from which port, and either status and body, or why it failed."""

    begin: int
    turned: int  # to it, before a connection was made for it
    end: int
    port: int
    is_fresh: bool
    status: int
    answer: str
    failure: str
    name: str


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Client:
    """One client."""

    def __init__(self, name: str, address: tuple[str, int], path: str, *, is_fresh: bool, pause: float) -> None:
        self._name = name
        self._address = address
        self._is_fresh = is_fresh
        self._pause = pause
        persistence = "close" if is_fresh else "keep-alive"
        self._head = f"GET {path} HTTP/1.1\r\nHost: load\r\nConnection: {persistence}\r\nX-Load: "
        self._connection: Connection | None = None
        self.requests: list[Request] = []

    async def run(self, ending: asyncio.Event) -> None:
        while not ending.is_set():
            await self._request()
            await asyncio.sleep(self._pause)
        self._close()

    async def _request(self) -> None:
        turned = begin = time.monotonic_ns()
        port, status, answer, failure = 0, 0, "", ""
        name = f"{self._name}.{len(self.requests)}"
        try:
            async with asyncio.timeout(30):
                reader, writer = await self._connected()
                begin, port = time.monotonic_ns(), writer.get_extra_info("sockname")[1]
                writer.write(f"{self._head}{name}\r\n\r\n".encode())
                status, answer = await self._read(reader)
        except ConnectionRefusedError:
            failure = "refused"
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as exc:
            failure = f"{type(exc).__name__}: {exc}"
        if failure or self._is_fresh:
            self._close()
        self.requests.append(
            Request(begin, turned, time.monotonic_ns(), port, self._is_fresh, status, answer, failure, name)
        )

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection[0].at_eof() or self._connection[1].is_closing():
            self._close()
            self._connection = await asyncio.open_connection(*self._address)
        return self._connection

    async def _read(self, reader: asyncio.StreamReader) -> tuple[int, str]:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        _, _, length = head.partition(b"content-length: ")
        body = await reader.readexactly(int(length.split(b"\r\n", 1)[0]))
        if b"connection: close" in head:
            self._close()
        return int(head.split(b" ", 2)[1]), body.decode()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None


async def _run(address: tuple[str, int], path: str, kept: int, fresh: int, pause: float) -> list[Request]:
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    clients = [_Client(f"c{n}", address, path, is_fresh=n >= kept, pause=pause) for n in range(kept + fresh)]
    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(client.run(ending))
        while not all(client.requests for client in clients):  # noqa: ASYNC110  # they do not know that they are watched
            await asyncio.sleep(0.01)
        print("begun", flush=True)
    return [request for client in clients for request in client.requests]


class Load:
    """What a running load program has done, once it is `end`ed."""

    def __init__(self, program: subprocess.Popen[str]) -> None:
        self._program = program

    def end(self) -> list[Request]:
        """Let it finish; every request by the time it began."""
        self._program.terminate()
        output, _ = self._program.communicate(timeout=60)
        return sorted(Request(*fields) for fields in json.loads(output))


@contextmanager
def load(proxy: WholeProxy, *, kept: int = 0, fresh: int = 0, path: str = "/", pause: float = 0.002) -> Iterator[Load]:
    """Put load on a proxy; within the block it has begun."""
    host, port = proxy.address
    arguments = [host, str(port), path, str(kept), str(fresh), str(pause)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.load", *arguments], stdout=subprocess.PIPE, text=True
    ) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == "begun\n"
            yield Load(program)
        finally:
            program.kill()


def main(host: str, port: str, path: str, kept: str, fresh: str, pause: str) -> None:
    requests = uvloop.run(_run((host, int(port)), path, int(kept), int(fresh), float(pause)))
    with open(sys.stdout.fileno(), "w", closefd=False) as output:  # unlike `print`, complete also with PYTHONUNBUFFERED
        json.dump(requests, output)


if __name__ == "__main__":
    main(*sys.argv[1:])
