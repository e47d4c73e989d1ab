"""Upstreams that answer every GET with their own name: a fast program of its own, so that it holds up no test.

`python -m tests.support.named_upstreams NAME...` prints where they are, as JSON, and serves until it is ended. A
request for /after/SECONDS is answered after that time.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import uvloop


class _Naming(asyncio.Protocol):
    """One connection to an upstream."""

    def __init__(self, name: str) -> None:
        self._answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name.encode())
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, received: bytes) -> None:
        *heads, self._rest = (self._rest + received).split(b"\r\n\r\n")
        for head in heads:
            _, _, after = head.split(b" ", 2)[1].partition(b"/after/")
            if after:
                asyncio.get_running_loop().call_later(float(after), self._transport.write, self._answer)
            else:
                self._transport.write(self._answer)


async def _serve(names: list[str]) -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(partial(_Naming, name), "127.0.0.1", 0) for name in names]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    print(json.dumps({name: f"127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)}), flush=True)
    await asyncio.Event().wait()


@contextmanager
def named_upstreams(*names: str) -> Iterator[dict[str, str]]:
    """Run them for the length of the block; gives the address of each."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.named_upstreams", *names], stdout=subprocess.PIPE, text=True
    ) as program:
        try:
            assert program.stdout is not None
            yield json.loads(program.stdout.readline())
        finally:
            program.terminate()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1:]))
