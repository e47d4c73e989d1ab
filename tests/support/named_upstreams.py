"""Upstreams that answer every GET with their own name.

`python -m tests.support.named_upstreams NAME...` prints where they are, as JSON, and serves until it is ended. A
request for /after/SECONDS is answered after that time.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvloop

from tests.support.upstream_program import Asked, UpstreamProgram, answer, listen, upstream_program


def _naming(name: str) -> Asked:
    named = answer(name)

    def asked(head: bytes, write: Callable[[bytes], None]) -> None:
        _, _, after = head.split(b" ", 2)[1].partition(b"/after/")
        if after:
            asyncio.get_running_loop().call_later(float(after), write, named)
        else:
            write(named)

    return asked


async def _serve(names: list[str]) -> None:
    servers = await listen({name: _naming(name) for name in names})
    await asyncio.gather(*(server.serve_forever() for server in servers))


class NamedUpstreams(UpstreamProgram):
    """Running upstreams; there is nothing to tell them."""


@contextmanager
def named_upstreams(*names: str) -> Iterator[dict[str, str]]:
    """Run them for the length of the block; gives the address of each."""
    with upstream_program(NamedUpstreams, *names) as running:
        yield running.places


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1:]))
