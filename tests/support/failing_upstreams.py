"""Upstreams that fail as often as they are told, and count.

`python -m tests.support.failing_upstreams NAME...` prints where they are, as JSON. Each line of JSON on its standard
input, such as {"name": "canary", "errors": 0.2, "seed": 7}, sets how many answers of one are 500; each is answered by a
line that says how many requests each has had, and how many of them it failed. The chance is drawn request by request
from the seed, so that the same requests fail in every run. Answers carry the name of the upstream, and are told apart
from those of the proxy by it. /healthz is always well.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import uvloop

from tests.support.upstream_program import UpstreamProgram, answer, listen, orders, say, upstream_program


class Count(NamedTuple):
    """What an upstream has done."""

    requests: int
    failed: int


@dataclass(slots=True)
class _Upstream:
    name: str
    errors: float = 0.0
    chance: random.Random = field(default_factory=random.Random)
    requests: int = 0
    failed: int = 0

    def asked(self, head: bytes, write: Callable[[bytes], None]) -> None:
        fails = False
        if not head.startswith(b"GET /healthz"):
            self.requests += 1
            fails = self.chance.random() < self.errors
            self.failed += fails
        write(answer(self.name, b"500 Internal Server Error" if fails else b"200 OK"))


async def _serve(names: list[str]) -> None:
    upstreams = {name: _Upstream(name) for name in names}
    servers = await listen({name: each.asked for name, each in upstreams.items()})
    async for order in orders():
        if order:
            upstream = upstreams[order["name"]]
            upstream.errors, upstream.chance = order["errors"], random.Random(order["seed"])
        say({each.name: [each.requests, each.failed] for each in upstreams.values()})
    for server in servers:
        server.close()


class FailingUpstreams(UpstreamProgram):
    """Running upstreams; all are well at first."""

    def fail(self, *names: str, errors: float = 1.0, seed: int = 0) -> None:
        """From now on, let this share of the answers of some upstreams be 500."""
        for name in names:
            self._order(name=name, errors=errors, seed=seed)

    def heal(self, *names: str) -> None:
        """Let them be well again."""
        self.fail(*names, errors=0.0)

    def counts(self) -> dict[str, Count]:
        """What each has done so far."""
        return {name: Count(*numbers) for name, numbers in self._order().items()}


@contextmanager
def failing_upstreams(*names: str) -> Iterator[FailingUpstreams]:
    """Run them for the length of the block."""
    with upstream_program(FailingUpstreams, *names) as running:
        yield running


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1:]))
